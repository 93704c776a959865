import { freezeDeep } from '../../../core/encoding/codec.ts';
import type { JsonValue } from '../../../core/value.ts';
import type { ConfigStore } from '../../config-store.ts';
import { type LevelDirectory, readAll } from './level-directory.ts';
import { seal, unseal } from './sealed.ts';

const PREFIX = '!config!';
const RANGE = { gte: PREFIX, lt: '!config"' } as const;

/** Settings in the data directory. Each change is synced; all settings are in memory as well. */
export class LevelConfigStore implements ConfigStore {
  readonly #directory: LevelDirectory;
  readonly #values: Map<string, JsonValue>;

  private constructor(directory: LevelDirectory, values: Map<string, JsonValue>) {
    this.#directory = directory;
    this.#values = values;
  }

  /** Reads all settings. */
  static async open(directory: LevelDirectory): Promise<LevelConfigStore> {
    const values = new Map<string, JsonValue>();
    for await (const [key, bytes] of readAll(directory, RANGE)) {
      const name = key.slice(PREFIX.length);
      values.set(name, freezeDeep(unseal(bytes, () => `The setting ${name} in ${directory.path}`) as JsonValue));
    }
    return new LevelConfigStore(directory, values);
  }

  get(name: string): JsonValue | undefined {
    return this.#values.get(name);
  }

  async set(name: string, value: JsonValue): Promise<void> {
    await this.#directory.write([{ type: 'put', key: PREFIX + name, value: seal(value) }], true);
    this.#values.set(name, value);
  }

  async delete(name: string): Promise<void> {
    await this.#directory.write([{ type: 'del', key: PREFIX + name }], true);
    this.#values.delete(name);
  }

  list(): readonly string[] {
    return [...this.#values.keys()].sort();
  }
}
