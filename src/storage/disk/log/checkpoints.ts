import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, seal, unseal } from '../leveldb/sealed.ts';

const PREFIX = '!meta!checkpoint/';
const RANGE = { gte: PREFIX, lt: '!meta!checkpoint0' } as const;

/**
 * The followers' checkpoints in the data directory. Written behind and not synced: after a crash a follower gets a
 * few updates again, which it has to stand anyway.
 *
 * What is stored is never beyond the committed position. So a stored checkpoint beyond the log's end tells that the
 * log has lost updates.
 */
export class Checkpoints {
  readonly #directory: LevelDirectory;
  /** The log's committed position. For the log. */
  committed: number;
  readonly #positions: Map<string, number>;
  /** Names to be written. */
  readonly #dirty = new Set<string>();
  #writing: Promise<void> | undefined;

  private constructor(directory: LevelDirectory, positions: Map<string, number>, committed: number) {
    this.#directory = directory;
    this.#positions = positions;
    this.committed = committed;
  }

  /** Reads all checkpoints of a log that ends at `head`. */
  static async open(directory: LevelDirectory, head: number): Promise<Checkpoints> {
    const positions = new Map<string, number>();
    for await (const [key, bytes] of readAll(directory, RANGE)) {
      const name = key.slice(PREFIX.length);
      const position = unseal(bytes, () => `The checkpoint of ${name} in ${directory.path}`) as number;
      if (position > head) {
        throw corrupt(`The log in ${directory.path} ends at ${head}, but its follower ${name} has had ${position}`);
      }
      positions.set(name, position);
    }
    return new Checkpoints(directory, positions, head);
  }

  /** All there are. */
  entries(): Iterable<readonly [name: string, position: number]> {
    return this.#positions;
  }

  /** All of them as they are now, for a batch that must not be kept without them. */
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

  /** Waits until all is written, or cannot be. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  /** One write at a time; what changes meanwhile goes with the next. */
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
        // The directory has told the log, which reports it and opens it again; a later write takes these along.
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
