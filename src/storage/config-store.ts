import type { JsonValue } from '../core/value.ts';

/**
 * Settings that can be changed at run time and survive a restart: topics, backup. Separate from the namespaces, so that
 * no command on data can reach them.
 */
export interface ConfigStore {
  /** Returns the value, or `undefined` if the setting does not exist. */
  get(name: string): JsonValue | undefined;
  /** Stores a setting. Resolves when it is as durable as the store can make it. */
  set(name: string, value: JsonValue): Promise<void>;
  /** Removes a setting. Does nothing if it does not exist. */
  delete(name: string): Promise<void>;
  /** Returns all names, sorted. */
  list(): readonly string[];
}

/** Settings in memory, gone with the process. */
export class MemoryConfigStore implements ConfigStore {
  readonly #values = new Map<string, JsonValue>();

  get(name: string): JsonValue | undefined {
    return this.#values.get(name);
  }

  async set(name: string, value: JsonValue): Promise<void> {
    this.#values.set(name, value);
  }

  async delete(name: string): Promise<void> {
    this.#values.delete(name);
  }

  list(): readonly string[] {
    return [...this.#values.keys()].sort();
  }
}
