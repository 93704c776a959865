import type { AgentContextCache } from '../../../src/index.ts';
import type { Random } from '../support.ts';

/** Key of the counter that only increases; see `MirrorWatch`. */
export const COUNTER = { namespace: 'steady', key: 'counter' } as const;

const TICK_MS = 5;
const NAMESPACES = ['trip', 'a:b', '__proto__', 'ünïcode %'];

/** Writes to a cache at a steady rate, by seed: all kinds of writes, also keys that come and go. */
export class SteadyWriter {
  readonly #cache: AgentContextCache;
  readonly #random: Random;
  readonly #perTick: number;
  readonly #failures: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #count = 0;

  /** Starts at once. `perSecond`: writes. */
  constructor(cache: AgentContextCache, random: Random, perSecond = 1_000) {
    this.#cache = cache;
    this.#random = random;
    this.#perTick = Math.ceil((perSecond * TICK_MS) / 1_000);
    this.resume();
  }

  /** Number of increments of the counter. */
  get count(): number {
    return this.#count;
  }

  /** Refusals of the cache. There should be none. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  resume(): void {
    this.#timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Makes the commands that are sent together. */
  tick(): void {
    this.#count += 1;
    this.#note(this.#cache.set(COUNTER.key, this.#count, COUNTER.namespace));
    for (let i = 1; i < this.#perTick; i += 1) this.#note(this.#write());
  }

  #write(): Promise<unknown> {
    const random = this.#random;
    const namespace = random.below(8) === 0 ? `drop-${random.below(40)}` : random.pick(NAMESPACES);
    const key = `key ${random.below(30)}`;
    const kind = random.below(100);
    if (kind < 60) return this.#cache.set(key, this.#value(), namespace);
    if (kind < 70) return this.#cache.set(key, this.#value(), namespace, { ttl: 200 + random.below(5_000) });
    if (kind < 82) return this.#cache.delete(key, namespace);
    if (kind < 88 && this.#cache.has(key, namespace)) return this.#touch(key, namespace);
    if (kind < 96) return this.#batch(namespace);
    if (kind < 98) return this.#cache.clearNamespace(namespace);
    return namespace.startsWith('drop-') ? this.#cache.dropNamespace(namespace) : this.#batch(namespace);
  }

  #touch(key: string, namespace: string): Promise<unknown> {
    const never = this.#random.below(2) === 0;
    return this.#cache.touch(key, namespace, never ? { expiresAt: null } : { ttl: 1_000 + this.#random.below(5_000) });
  }

  #batch(namespace: string): Promise<unknown> {
    const key = `key ${this.#random.below(30)}`;
    return this.#cache.batch(
      [
        { operation: 'set', key, value: this.#value() },
        { operation: 'delete', key: `key ${this.#random.below(30)}` },
        { operation: 'set', key: `${key}, beside`, value: null },
      ],
      namespace,
    );
  }

  /** Makes a value: mostly small, sometimes larger than a socket carries at once. */
  #value(): { readonly n: number; readonly text: string } {
    const length = this.#random.below(60) === 0 ? this.#random.below(40_000) : this.#random.below(80);
    return { n: this.#count, text: 'ä'.repeat(length) };
  }

  #note(outcome: Promise<unknown>): void {
    outcome.catch((error) => this.#failures.push(String(error)));
  }
}
