import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, seal, unseal } from '../leveldb/sealed.ts';

const PREFIX = '!meta!checkpoint/';
const RANGE = { gte: PREFIX, lt: '!meta!checkpoint0' } as const;

/**
 * The followers' checkpoints in the data directory. Written in the background and not synced: after a crash a follower
 * receives a few updates again, which it must tolerate anyway.
 *
 * A stored checkpoint is never beyond the committed position. Hence a stored checkpoint beyond the end of the log shows
 * that the log has lost updates.
 */
export class Checkpoints {
  readonly #directory: LevelDirectory;
  /** The log's committed position, set by the log. */
  committed: number;
  readonly #positions: Map<string, number>;
  /** Names whose checkpoints must be written. */
  readonly #dirty = new Set<string>();
  #writing: Promise<void> | undefined;

  private constructor(directory: LevelDirectory, positions: Map<string, number>, committed: number) {
    this.#directory = directory;
    this.#positions = positions;
    this.committed = committed;
  }

  /**
   * Reads all checkpoints of a log that ends at `head`.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if a checkpoint is beyond `head`.
   */
  static async open(directory: LevelDirectory, head: number): Promise<Checkpoints> {
    const positions = new Map<string, number>();
    for await (const [key, bytes] of readAll(directory, RANGE)) {
      const name = key.slice(PREFIX.length);
      const position = unseal(bytes, () => `The checkpoint of ${name} in ${directory.path}`) as number;
      if (position > head) {
        throw corrupt(
          `The log in ${directory.path} ends at ${head}, but follower ${name} has already received ${position}`,
        );
      }
      positions.set(name, position);
    }
    return new Checkpoints(directory, positions, head);
  }

  /** Returns all checkpoints. */
  entries(): Iterable<readonly [name: string, position: number]> {
    return this.#positions;
  }

  /** Returns writes of all present checkpoints, for a batch that must not be stored without them. */
  writes(): StorageWrite[] {
    return Array.from(this.#positions.keys(), (name) => this.#record(name));
  }

  get(name: string): number | undefined {
    return this.#positions.get(name);
  }

  set(name: string, position: number): void {
    this.#positions.set(name, position);
    this.#dirty.add(name);
    this.#write();
  }

  delete(name: string): void {
    this.#positions.delete(name);
    this.#dirty.add(name);
    this.#write();
  }

  /** Waits until everything is written, or cannot be written. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  /** Runs one write at a time; later changes go with the next one. */
  #write(): void {
    if (this.#writing !== undefined || this.#dirty.size === 0) return;
    this.#writing = this.#writeDirty().finally(() => {
      this.#writing = undefined;
    });
  }

  async #writeDirty(): Promise<void> {
    while (this.#dirty.size > 0 && this.#directory.broken === undefined) {
      const names = [...this.#dirty];
      this.#dirty.clear();
      try {
        await this.#directory.write(
          names.map((name) => this.#record(name)),
          false,
        );
      } catch {
        // The directory has notified the log, which reports the failure and reopens; a later write includes these
        // names.
        for (const name of names) this.#dirty.add(name);
        return;
      }
    }
  }

  #record(name: string): StorageWrite {
    const key = PREFIX + name;
    const position = this.#positions.get(name);
    if (position === undefined) return { type: 'del', key };
    return { type: 'put', key, value: seal(Math.min(position, this.committed)) };
  }
}
