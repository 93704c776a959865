import PQueue from 'p-queue';
import { backOffMs } from '../core/back-off.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { JsonValue } from '../core/value.ts';
import { type BackendSetOptions, BaseContextCache, type MaybePromise } from './base-context-cache.ts';
import { type Change, coalesce } from './change.ts';

/** Options of {@link MultiBackendContextCache}. */
export interface MultiBackendOptions {
  /** Answers every read and gets every write first. */
  readonly primary: BaseContextCache;
  /** Gets every write after the primary has accepted it. Each of its calls must settle. */
  readonly secondary: BaseContextCache;
  /** Called with every failure of the secondary; the change is tried again. Default: a process warning. */
  readonly onError?: (error: Error) => void;
  /** Number of changes that may wait unmerged; beyond it only the last change of each key is kept. Default 10,000, at least 1. */
  readonly maxPending?: number;
  /** Number of changes in one task. Default 256, at least 1. */
  readonly batchSize?: number;
  /** Milliseconds of the pause after the first failure; doubles with each further one in a row. Default 100. */
  readonly minBackoffMs?: number;
  /** Milliseconds of the longest pause. Default 30,000. */
  readonly maxBackoffMs?: number;
  /** Milliseconds that `close` waits for the secondary. Default 5,000. */
  readonly closeTimeoutMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

const OPTIONS = optionNames<MultiBackendOptions>('MultiBackendContextCache', {
  primary: true,
  secondary: true,
  onError: true,
  maxPending: true,
  batchSize: true,
  minBackoffMs: true,
  maxBackoffMs: true,
  closeTimeoutMs: true,
  clock: true,
});

interface Waiter {
  readonly rank: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const DEFAULTS = { maxPending: 10_000, batchSize: 256, minBackoffMs: 100, maxBackoffMs: 30_000, closeTimeoutMs: 5000 };

/**
 * Two backends as one, without log or actors. Reads come from the primary only. A write goes to the primary and then, in
 * the same order, to the secondary; no call waits for the secondary. If the secondary fails, it is tried again with
 * growing pauses for as long as it takes, and the changes wait in memory: beyond `maxPending` only the last one of each
 * key. Changes that still wait when the process ends are lost. `AgentContextCache` has no such gap: its mirror follows a
 * log.
 *
 * Writes are synchronous if those of the primary are. A write that the primary refuses does not reach the secondary.
 *
 * @example
 * ```ts
 * const pair = new MultiBackendContextCache({ primary: new InMemoryContextCache(), secondary: redis });
 * await pair.set('token', 't-1', 'auth');
 * await pair.flush(); // the secondary has it too
 * await pair.close(); // closes both
 * ```
 */
export class MultiBackendContextCache extends BaseContextCache implements AsyncDisposable {
  override readonly synchronous: boolean;
  readonly #primary: BaseContextCache;
  readonly #secondary: BaseContextCache;
  readonly #onError: (error: Error) => void;
  readonly #clock: Clock;
  readonly #limits: typeof DEFAULTS;
  readonly #queue = new PQueue({ concurrency: 1 });
  #waiting: Change[] = [];
  /** The batch that is being delivered, beginning with the change under way. */
  #delivering: Change[] = [];
  #coalesceAt: number;
  #lastRank = 0;
  #scheduled = false;
  #failures = 0;
  #pause: unknown;
  #flushes: Waiter[] = [];

  constructor(options: MultiBackendOptions) {
    super();
    OPTIONS.check(options);
    this.#primary = options.primary;
    this.#secondary = options.secondary;
    this.synchronous = options.primary.synchronous === true;
    this.#onError = options.onError ?? ((error) => process.emitWarning(error));
    this.#clock = options.clock ?? systemClock;
    this.#limits = limitsOf(options);
    this.#coalesceAt = this.#limits.maxPending;
  }

  /** Number of changes that the secondary has not got yet. */
  get pending(): number {
    return this.#waiting.length + this.#delivering.length;
  }

  override get(key: string, namespace: string): MaybePromise<JsonValue | undefined> {
    return this.#primary.get(key, namespace);
  }

  override set(key: string, value: JsonValue, namespace: string, options?: BackendSetOptions): MaybePromise<void> {
    const expiresAt = options?.expiresAt ?? null;
    return this.#after(this.#primary.set(key, value, namespace, options), 'set', namespace, key, value, expiresAt);
  }

  override delete(key: string, namespace: string): MaybePromise<boolean> {
    return this.#after(this.#primary.delete(key, namespace), 'delete', namespace, key);
  }

  override listKeys(namespace: string): MaybePromise<string[]> {
    return this.#primary.listKeys(namespace);
  }

  override clearNamespace(namespace: string): MaybePromise<void> {
    return this.#after(this.#primary.clearNamespace(namespace), 'clear', namespace);
  }

  override listNamespaces(): MaybePromise<string[]> {
    return this.#primary.listNamespaces();
  }

  override dropNamespace(namespace: string): MaybePromise<void> {
    return this.#after(this.#primary.dropNamespace(namespace), 'drop', namespace);
  }

  override getMany(keys: readonly string[], namespace: string): MaybePromise<(JsonValue | undefined)[]> {
    return this.#primary.getMany(keys, namespace);
  }

  override touch(key: string, namespace: string, expiresAt: number | null): MaybePromise<void> {
    return this.#after(this.#primary.touch(key, namespace, expiresAt), 'touch', namespace, key, null, expiresAt);
  }

  /** Makes sure that the primary can be reached; the secondary may be away. */
  override async connect(signal: AbortSignal): Promise<void> {
    await this.#primary.connect?.(signal);
  }

  /** Resolves once the secondary has all that was written before the call; rejects with `CLOSED` if it never will. */
  flush(): Promise<void> {
    const rank = this.#lastRank;
    return new Promise((resolve, reject) => {
      this.#flushes.push({ rank, resolve, reject });
      this.#settleFlushes();
    });
  }

  /**
   * Waits for the secondary, at most `closeTimeoutMs`, then closes both. Changes that could not be delivered are
   * discarded and reported to `onError`. Calling it twice is fine.
   */
  override async close(): Promise<void> {
    await this.#flushWithin(this.#limits.closeTimeoutMs);
    this.#giveUp();
    await this.#primary.close?.();
    await this.#secondary.close?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Passes the change on once the primary has accepted it. */
  #after<T>(
    taken: MaybePromise<T>,
    kind: Change['kind'],
    namespace: string,
    key = '',
    value: JsonValue = null,
    expiresAt: number | null = null,
  ): MaybePromise<T> {
    const handOn = () => this.#enqueue({ kind, namespace, key, value, expiresAt });
    if (!isPromise(taken)) {
      handOn();
      return taken;
    }
    return taken.then((result) => {
      handOn();
      return result;
    });
  }

  #enqueue(change: Omit<Change, 'rank'>): void {
    this.#lastRank += 1;
    this.#waiting.push({ ...change, rank: this.#lastRank });
    if (this.#waiting.length > this.#coalesceAt) this.#coalesce();
    this.#schedule();
  }

  /** Keeps the last change of each key. With more keys than `maxPending` it waits until twice as many changes are there. */
  #coalesce(): void {
    this.#waiting = coalesce(this.#waiting);
    this.#coalesceAt = Math.max(this.#limits.maxPending, 2 * this.#waiting.length);
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    void this.#queue.add(() => this.#deliverBatch());
  }

  async #deliverBatch(): Promise<void> {
    // After the caller's synchronous code, so that its writes share one batch.
    await Promise.resolve();
    this.#scheduled = false;
    this.#delivering = this.#waiting.splice(0, this.#limits.batchSize);
    try {
      for (let change = this.#delivering[0]; change !== undefined; change = this.#delivering[0]) {
        await carryOut(this.#secondary, change);
        this.#delivering.shift();
        this.#failures = 0;
      }
      if (this.#waiting.length === 0) this.#coalesceAt = this.#limits.maxPending;
    } catch (error) {
      const given = this.#delivering;
      this.#delivering = [];
      this.#waiting = [...given, ...this.#waiting];
      // Empty if `close` has discarded the batch.
      if (given.length > 0) this.#backOff(toError(error));
    }
    this.#schedule();
    this.#settleFlushes();
  }

  #backOff(error: Error): void {
    const { minBackoffMs, maxBackoffMs } = this.#limits;
    const delayMs = backOffMs(this.#failures + 1, minBackoffMs, maxBackoffMs);
    this.#failures += 1;
    this.#queue.pause();
    this.#pause = this.#clock.setTimeout(() => this.#queue.start(), delayMs);
    this.#report(error);
  }

  /** A listener that throws must not stop the changes. */
  #report(error: Error): void {
    try {
      this.#onError(error);
    } catch (thrown) {
      process.emitWarning(toError(thrown));
    }
  }

  #settleFlushes(): void {
    const first = (this.#delivering[0] ?? this.#waiting[0])?.rank ?? Number.POSITIVE_INFINITY;
    const reached = this.#flushes.filter(({ rank }) => rank < first);
    if (reached.length === 0) return;
    this.#flushes = this.#flushes.filter(({ rank }) => rank >= first);
    for (const { resolve } of reached) resolve();
  }

  async #flushWithin(timeoutMs: number): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.flush().catch(() => {}), late]);
    this.#clock.clearTimeout(timer);
  }

  #giveUp(): void {
    const lost = this.pending;
    this.#waiting = [];
    // The change under way may still arrive; its outcome is unknown.
    this.#delivering.length = 0;
    this.#failures = 0;
    this.#clock.clearTimeout(this.#pause);
    this.#queue.start();
    const message = `${lost} changes did not reach the secondary before the pair was closed. Copy the primary to it, or wait for flush() before.`;
    const error = new ContextCacheError('CLOSED', message);
    if (lost > 0) this.#report(error);
    for (const { reject } of this.#flushes.splice(0)) reject(error);
  }
}

function isPromise<T>(result: MaybePromise<T>): result is Promise<T> {
  return typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function';
}

function carryOut(backend: BaseContextCache, change: Change): MaybePromise<unknown> {
  const { kind, namespace, key, value, expiresAt } = change;
  switch (kind) {
    case 'set':
      return backend.set(key, value, namespace, { expiresAt });
    case 'delete':
      return backend.delete(key, namespace);
    case 'touch':
      return backend.touch(key, namespace, expiresAt);
    case 'clear':
      return backend.clearNamespace(namespace);
    case 'drop':
      return backend.dropNamespace(namespace);
  }
}

function limitsOf(options: MultiBackendOptions): typeof DEFAULTS {
  const limits = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
    const value = options[name] ?? DEFAULTS[name];
    const least = name.endsWith('Ms') ? 0 : 1;
    if (!(value >= least)) {
      throw new ContextCacheError('INVALID_OPTION', `${name} must be a number of at least ${least}, not ${value}.`);
    }
    limits[name] = value;
  }
  return limits;
}
