import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { openedUpdate } from '../core/opened.ts';
import { optionNames } from '../core/options.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import { createUpdate, type Update } from '../core/update.ts';
import { FILTER_NAMES, plainFilter, type See, UpdateFilter, type WatchFilter } from '../core/update-filter.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { coalesce } from '../storage/overflow.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { WatchHub } from './watch-hub.ts';

/** Options of `watch`. */
export interface WatchOptions extends WatchFilter {
  /**
   * `updates`: the updates after the call. `snapshot`: first the present entries, as `set` updates with
   * `snapshot: true`, then the updates after the call. Default `updates`. `snapshot` is refused with a primary of your
   * own, which keeps the values.
   */
  readonly include?: 'snapshot' | 'updates' | undefined;
  /** Starts with the log's updates after this position. Excludes `include: 'snapshot'`. */
  readonly since?: number | undefined;
  /** Ends the watch. */
  readonly signal?: AbortSignal | undefined;
  /** Updates that wait for a slow reader before they are coalesced. Default 4,096, at least 1. */
  readonly bufferSize?: number | undefined;
}

export const WATCH_OPTIONS = optionNames<WatchOptions>('watch', {
  ...FILTER_NAMES,
  include: true,
  since: true,
  signal: true,
  bufferSize: true,
});

const seeAll: See = (update) => update;

/** Dependencies of a watch. */
export interface WatchDeps {
  readonly log: UpdateLog;
  readonly registry: NamespaceRegistry;
  readonly watchers: WatchHub;
  readonly clock: Clock;
  readonly subjects: SubjectDoor;
  /** A primary of the user's own, which keeps the values. */
  readonly primary?: BaseContextCache | undefined;
}

/** An update as a watcher sees it. */
export interface WatchedUpdate extends Update {
  /** `true` if this is an entry of the initial snapshot (`include: 'snapshot'`); `position` is that of the snapshot. */
  readonly snapshot: boolean;
  /** Number of updates left out before this one: in a full buffer, a later update replaces those of the same key. */
  readonly skipped: number;
}

/** A running watch. */
export interface Watching<Watched = WatchedUpdate> extends AsyncIterableIterator<Watched> {
  /**
   * Position up to which every matching update has been yielded; a later watch continues there with `since`. Advances
   * also while nothing matches. `undefined` until the initial snapshot has been yielded.
   */
  readonly position: number | undefined;
}

/**
 * A bounded buffer between the log, which does not wait, and a reader, which may be slow. A full buffer keeps only the
 * last update of each key and counts the others. If that is still too many, the reader gets `WATCH_OVERFLOW` and has to
 * restart.
 */
export class WatchBuffer {
  readonly #limit: number;
  #buffer: Update[] = [];
  #skipped = 0;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True while the reader waits for an update: all that were offered have been taken. */
  get isAwaited(): boolean {
    return this.#wake !== undefined && this.#buffer.length === 0 && !this.#ended;
  }

  offer(update: Update): void {
    if (this.#ended) return;
    if (this.#buffer.length >= this.#limit) this.#coalesce();
    if (this.#buffer.length >= this.#limit) {
      this.fail(
        new ContextCacheError(
          'WATCH_OVERFLOW',
          `More than ${this.#limit} keys changed before the watcher read them. Read faster, raise bufferSize, or watch again with include: 'snapshot'.`,
        ),
      );
      return;
    }
    this.#buffer.push(update);
    this.#wake?.();
  }

  /** Ends the watch after the buffered updates. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Ends the watch with an error, without the buffered updates. */
  fail(error: unknown): void {
    this.#error ??= toError(error);
    this.#buffer = [];
    this.end();
  }

  /** Resolves with the updates since the last call, at least one; `undefined` at the end. */
  async take(): Promise<{ readonly updates: readonly Update[]; readonly skipped: number } | undefined> {
    while (this.#buffer.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#buffer.length === 0) return undefined;
    const taken = { updates: this.#buffer, skipped: this.#skipped };
    this.#buffer = [];
    this.#skipped = 0;
    return taken;
  }

  #coalesce(): void {
    const last = new Map<string, Update>();
    for (const update of this.#buffer) {
      // A clear concerns several keys, so nothing later replaces it.
      const id = JSON.stringify([update.namespace, update.operation === 'clear' ? update.position : [update.key]]);
      const earlier = last.get(id);
      last.delete(id);
      last.set(id, earlier === undefined ? update : coalesce(earlier, update));
    }
    this.#skipped += this.#buffer.length - last.size;
    this.#buffer = [...last.values()];
  }
}

const DEFAULT_BUFFER_SIZE = 4_096;

/**
 * Checks what can be checked without a log.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function checkWatchOptions(options: WatchOptions): void {
  WATCH_OPTIONS.check(options);
  plainFilter(options);
  const { since, include, bufferSize = DEFAULT_BUFFER_SIZE } = options;
  if (since !== undefined && include === 'snapshot') {
    throw new ContextCacheError('INVALID_OPTION', "Give since or include: 'snapshot', not both.");
  }
  if (!Number.isSafeInteger(bufferSize) || bufferSize < 1) {
    throw new ContextCacheError('INVALID_OPTION', 'bufferSize must be an integer from 1 up.');
  }
}

/**
 * Returns the iterator of a watch. `end` releases what the watch holds; it is called also if the watch ends before its
 * first step, which does not run the `finally` of a generator.
 */
export function watching(
  updates: AsyncGenerator<WatchedUpdate>,
  position: () => number | undefined,
  end: () => void,
): Watching {
  return {
    get position() {
      return position();
    },
    next: () => updates.next(),
    return: async () => {
      end();
      return updates.return(undefined);
    },
    throw: async (error) => {
      end();
      return updates.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Starts a watch; see {@link WatchOptions}. Opens and yields of each update what `see` returns. */
export function watchUpdates(deps: WatchDeps, options: WatchOptions, see: See = seeAll): Watching {
  const { log, watchers, subjects } = deps;
  checkWatchOptions(options);
  const { since, signal, include = 'updates', bufferSize = DEFAULT_BUFFER_SIZE } = options;
  if (include === 'snapshot' && deps.primary !== undefined) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      "include: 'snapshot' is not available with a primary of your own, which keeps the values. Read them from it.",
    );
  }
  if (since !== undefined && (!Number.isSafeInteger(since) || since < 0 || since > log.head)) {
    throw new ContextCacheError('INVALID_OPTION', `since must be a position of this log, from 0 to ${log.head}.`);
  }
  const filter = new UpdateFilter(options);
  const buffer = new WatchBuffer(bufferSize);
  const stop = watchers.add(options, (update) => buffer.offer(update));
  const entries = include === 'snapshot' ? snapshotOf(deps, filter) : [];
  // Updates in the snapshot may be committed only later, and must not be yielded twice.
  const after = include === 'snapshot' ? log.head : since === undefined ? 0 : Math.max(since, log.committed);
  let position = include === 'snapshot' ? undefined : (since ?? log.committed);
  const reached = () => (buffer.isAwaited ? Math.max(position ?? 0, log.committed) : position);
  let release = (): void => {};
  const end = () => {
    position = reached();
    stop();
    release();
    signal?.removeEventListener('abort', end);
    buffer.end();
  };
  release = watchers.onClose(end);
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();

  async function* run(): AsyncGenerator<WatchedUpdate> {
    try {
      for (const update of entries) {
        const seen = see(update);
        if (seen !== undefined) yield { ...openedUpdate(subjects, seen), snapshot: true, skipped: 0 };
      }
      if (since !== undefined && since < after) {
        for await (const update of past(log, since, after, filter)) {
          position = update.position;
          const seen = see(update);
          if (seen !== undefined) yield openedUpdate(subjects, seen);
        }
      }
      position = Math.max(position ?? 0, after);
      for (let taken = await buffer.take(); taken !== undefined; taken = await buffer.take()) {
        let { skipped } = taken;
        for (const update of taken.updates) {
          if (update.position <= after) continue;
          position = update.position;
          const seen = see(update);
          if (seen === undefined) continue;
          // Opened only now: the subject may have been forgotten while the update waited to be read.
          yield { ...openedUpdate(subjects, seen), snapshot: false, skipped };
          skipped = 0;
        }
      }
    } finally {
      end();
    }
  }
  return watching(run(), reached, end);
}

async function* past(log: UpdateLog, since: number, to: number, filter: UpdateFilter): AsyncGenerator<WatchedUpdate> {
  for await (const updates of log.read(since + 1, to)) {
    for (const update of updates) {
      const selected = filter.of(update);
      if (selected !== undefined) yield { ...selected, snapshot: false, skipped: 0 };
    }
  }
}

function snapshotOf({ registry, log, clock }: WatchDeps, filter: UpdateFilter): Update[] {
  const updates: Update[] = [];
  for (const name of filter.namespaces ?? registry.names()) {
    const state =
      filter.hasNamespace(name) && registry.has(name)
        ? (registry.stateInMemory(name) ?? registry.stateOnDisk(name))
        : undefined;
    for (const [key, entry] of state?.entries ?? []) {
      if (!filter.hasKey(key) || !state?.isLive(key, clock.now())) continue;
      const { version, updatedAt, agent, expiresAt, bytes, meta } = entry;
      const update = createUpdate({
        namespace: name,
        version,
        operation: 'set',
        key,
        value: entry.value ?? null,
        at: updatedAt,
        agent,
        expiresAt,
        bytes,
        meta,
      });
      update.position = log.head;
      updates.push(update);
    }
  }
  return updates;
}
