import { decode } from '@msgpack/msgpack';
import type { Redis } from 'ioredis';
import { COUNTER } from './writer.ts';

const PAUSE_MS = 2;

/** Reads the counter in the mirror all the time. It must never decrease while the server keeps its data. */
export class MirrorWatch {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #stale: string[] = [];
  #highest = 0;
  #stopped = false;
  reads = 0;

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#key = `${prefix}${COUNTER.namespace}:${COUNTER.key}`;
    void this.#read();
  }

  /** Newer values that were followed by older ones. */
  get stale(): readonly string[] {
    return this.#stale;
  }

  /** Forgets earlier readings, because the server itself was put back. */
  forget(): void {
    this.#highest = 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#take(await this.#redis.getBuffer(this.#key));
      } catch {
        // The server is away or refuses. The counter is read again later.
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #take(bytes: Buffer | null): void {
    if (bytes === null) return;
    const value = Number(decode(bytes));
    this.reads += 1;
    if (value < this.#highest) this.#stale.push(`${value} after ${this.#highest}`);
    this.#highest = Math.max(this.#highest, value);
  }
}
