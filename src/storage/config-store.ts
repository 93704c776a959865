import type { JsonValue } from '../core/value.ts';

/**
 * Settings that are changed while running and kept: topics, backup. A place of its own: whatever an agent calls its
 * namespace, no command on data reaches it.
 */
export interface ConfigStore {
  /** The value; `undefined` where there is none. */
  get(name: string): JsonValue | undefined;
  /** Resolves once it is kept, as durably as the store can. */
  set(name: string, value: JsonValue): Promise<void>;
  /** A missing one is fine. */
  delete(name: string): Promise<void>;
  /** All names, sorted. */
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
