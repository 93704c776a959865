import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../../core/clock.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Overview, OverviewSample } from '../protocol.ts';
import type { NamespaceIndex, NamespaceList } from './namespace-index.ts';

const SECOND_MS = 1_000;
/** Ten minutes. */
const KEPT_SAMPLES = 600;
/** How long measuring goes on after a single request, milliseconds. */
const WANTED_MS = 5_000;
/** Least time between two counts of the namespaces, milliseconds. */
const COUNT_MS = 5_000;
const LOOP_RESOLUTION_MS = 10;

/** Longest latency counted apart, milliseconds; longer ones count as this. */
const LONGEST_MS = 10_000;
/** Updates of a second that are all measured. */
const ALL = 512;
/** Beyond those, one in this many is measured; a power of two. */
const ONE_OF = 16;

/** The time from request to commit of the updates of one second. */
class Latencies {
  #counts = new Uint32Array(LONGEST_MS + 1);
  #measured = 0;
  #seen = 0;
  #longest = 0;

  /** Returns whether to measure the next update. */
  wants(): boolean {
    this.#seen += 1;
    return this.#seen <= ALL || (this.#seen & (ONE_OF - 1)) === 0;
  }

  add(ms: number): void {
    // A clock that was set back must not give a negative latency.
    const whole = Math.min(LONGEST_MS, Math.max(0, Math.round(ms)));
    this.#counts[whole] = (this.#counts[whole] ?? 0) + 1;
    this.#measured += 1;
    this.#longest = Math.max(this.#longest, whole);
  }

  /** Returns the latency that this fraction of the updates does not exceed; `null` without updates. */
  quantile(part: number): number | null {
    if (this.#measured === 0) return null;
    const wanted = Math.ceil(part * this.#measured);
    for (let ms = 0, sum = 0; ms <= this.#longest; ms += 1) {
      sum += this.#counts[ms] ?? 0;
      if (sum >= wanted) return ms;
    }
    return this.#longest;
  }

  clear(): void {
    this.#counts.fill(0, 0, this.#longest + 1);
    this.#measured = 0;
    this.#seen = 0;
    this.#longest = 0;
  }
}

/** Measures once a second while a page is open. */
export class Meter {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #index: NamespaceIndex;
  readonly #listeners = new Set<() => void>();
  readonly #latencies = new Latencies();
  #samples: OverviewSample[] = [];
  #measuring: { readonly stop: () => void; readonly loop: IntervalHistogram } | undefined;
  #timer: unknown;
  #lastAt = 0;
  #lastPosition = 0;
  #wantedUntil = 0;
  #countAt = 0;
  #unlisted = { total: 0, resident: 0 };

  constructor(cache: Inspectable, clock: Clock, index: NamespaceIndex) {
    this.#cache = cache;
    this.#clock = clock;
    this.#index = index;
  }

  /** True while a listener is attached to the cache. */
  get isMeasuring(): boolean {
    return this.#measuring !== undefined;
  }

  /** The newest sample. */
  get last(): OverviewSample | undefined {
    return this.#samples.at(-1);
  }

  /** Calls `listener` after each sample. Returns a function that stops it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#begin();
    return () => {
      this.#listeners.delete(listener);
      if (!this.#isWatched) this.#end();
    };
  }

  async overview(): Promise<Overview> {
    this.#wantedUntil = this.#clock.now() + WANTED_MS;
    this.#begin();
    if (this.#index.last === undefined) this.#compare(await this.#index.list());
    const health = this.#cache.health();
    const { status, log, namespaces, followers, topics, watchers, errors } = health;
    const { rss, heapUsed } = process.memoryUsage();
    return {
      ...{ status, log, followers, topics, errors },
      namespaces: { ...this.#namespaceCounts(), failed: namespaces.failed.length },
      conflicts: this.#cache.inspection.conflicts.count,
      keys: this.#index.last?.keys ?? null,
      bytes: this.#index.last?.bytes ?? null,
      restarts: namespaces.restarts,
      watchers: watchers - (this.isMeasuring ? 1 : 0),
      process: { pid: process.pid, uptimeMs: process.uptime() * 1_000, rssBytes: rss, heapBytes: heapUsed },
      now: this.#samples.at(-1) ?? null,
      samples: this.#samples,
    };
  }

  /** Ends measuring. */
  close(): void {
    this.#listeners.clear();
    this.#end();
  }

  #begin(): void {
    if (this.#measuring !== undefined) return;
    const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
    loop.enable();
    const stop = this.#cache.inspection.subscribe(({ at }) => {
      if (this.#latencies.wants()) this.#latencies.add(this.#clock.now() - at);
    });
    this.#measuring = { stop, loop };
    this.#latencies.clear();
    this.#lastAt = this.#clock.now();
    this.#lastPosition = this.#cache.position;
    this.#count();
    this.#wait();
  }

  #end(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#measuring?.stop();
    this.#measuring?.loop.disable();
    this.#measuring = undefined;
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => this.#tick(), SECOND_MS);
    this.#clock.unref?.(this.#timer);
  }

  get #isWatched(): boolean {
    return this.#listeners.size > 0 || this.#clock.now() < this.#wantedUntil;
  }

  #tick(): void {
    if (!this.#isWatched) {
      this.#end();
      return;
    }
    const sample = this.#sample();
    this.#samples = [...this.#samples.slice(1 - KEPT_SAMPLES), sample];
    if (this.#clock.now() >= this.#countAt) this.#count();
    this.#wait();
    for (const listener of this.#listeners) listener();
  }

  #sample(): OverviewSample {
    const now = this.#clock.now();
    const { position } = this.#cache;
    const seconds = Math.max(1, now - this.#lastAt) / 1_000;
    const { restarts } = this.#cache.inspection;
    const { total, resident } = this.#namespaceCounts();
    const followers = this.#cache.inspection.followers();
    const loop = this.#measuring?.loop;
    const sample: OverviewSample = {
      ...{ at: now, position },
      updatesPerSecond: Math.max(0, position - this.#lastPosition) / seconds,
      commitP50Ms: this.#latencies.quantile(0.5),
      commitP99Ms: this.#latencies.quantile(0.99),
      ...{ namespaces: total, resident, restarts, conflicts: this.#cache.inspection.conflicts.count },
      keys: this.#index.last?.keys ?? null,
      bytes: this.#index.last?.bytes ?? null,
      lag: Object.fromEntries(followers.map(({ name, lag }) => [name, lag])),
      heapBytes: process.memoryUsage().heapUsed,
      // The histogram holds the time between two ticks, which includes the resolution.
      loopMs: Math.max(0, (loop?.max ?? 0) / 1e6 - LOOP_RESOLUTION_MS),
    };
    loop?.reset();
    this.#latencies.clear();
    this.#lastAt = now;
    this.#lastPosition = position;
    return sample;
  }

  /**
   * Counts as the lists of namespaces do: they have `default` before its first write, and no namespace that is only
   * watched. The registry's own counts are exact at any time, so only the difference is kept.
   */
  #namespaceCounts(): { readonly total: number; readonly resident: number } {
    const { total, resident } = this.#cache.inspection.namespaceCounts;
    return { total: total + this.#unlisted.total, resident: resident + this.#unlisted.resident };
  }

  /** Recounts the namespaces. An error is reported to the next reader of the list. */
  #count(): void {
    this.#countAt = this.#clock.now() + COUNT_MS;
    this.#index.list().then(
      (list) => this.#compare(list),
      () => undefined,
    );
  }

  #compare({ infos, byStatus }: NamespaceList): void {
    const { total, resident } = this.#cache.inspection.namespaceCounts;
    this.#unlisted = { total: infos.size - total, resident: byStatus.resident - resident };
  }
}
