import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { Update } from '../../core/update.ts';
import type { EntryVersion } from '../../past/history.ts';
import type { UpdateDetail, UpdateFilter, UpdatePage } from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Presenter } from './presenter.ts';

/** Most updates read for one page. */
const MAX_SCANNED = 50_000;
/** Updates read at once: the first size, which doubles up to the last one. */
const FIRST_WINDOW = 256;
const LAST_WINDOW = 4_096;

/** A page of the log. */
export interface UpdatesQuery {
  readonly filter: UpdateFilter;
  /** Only updates before this position. */
  readonly before?: number | undefined;
  /** Centre of the page: half of the updates are before this position. */
  readonly around?: number | undefined;
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** Returns a test for updates that match the filter. */
export function filterOf(
  { operation, namespace, key, agent, value }: UpdateFilter,
  presenter: Presenter,
): (update: Update) => boolean {
  const operations = operation === undefined || operation.length === 0 ? undefined : new Set<string>(operation);
  const [isNamespace, isKey, isAgent] = [namespace, key, agent].map((pattern) =>
    pattern === undefined || pattern === '' || pattern === '*' ? undefined : glob(pattern),
  );
  const wanted = value?.toLowerCase() ?? '';
  return (update) =>
    (operations === undefined || operations.has(update.operation)) &&
    (isNamespace === undefined || isNamespace(update.namespace)) &&
    (isKey === undefined || (update.keys ?? [update.key]).some((each) => each !== null && isKey(each))) &&
    (isAgent === undefined || (update.agent !== null && isAgent(update.agent))) &&
    (wanted === '' || hasValue(update, wanted, presenter));
}

function hasValue({ operation, namespace, key, value }: Update, wanted: string, presenter: Presenter): boolean {
  if (operation !== 'set' || key === null) return false;
  return presenter.find(namespace, key, value, wanted) !== undefined;
}

/** Reads the log by pages, newest first. */
export class UpdatePages {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #presenter: Presenter;

  constructor(cache: Inspectable, clock: Clock, presenter: Presenter) {
    this.#cache = cache;
    this.#clock = clock;
    this.#presenter = presenter;
  }

  async page({ filter, before, around, limit, signal }: UpdatesQuery): Promise<UpdatePage> {
    const { first, committed } = this.#cache.inspection.log;
    const matches = filterOf(filter, this.#presenter);
    const slice = new TimeSlice(this.#clock, signal);
    const newest =
      around === undefined ? (before ?? committed + 1) - 1 : await this.#upFrom(around, limit >> 1, matches, slice);
    const found: Update[] = [];
    let oldest = Math.min(newest, committed) + 1;
    let scanned = 0;
    for (let size = FIRST_WINDOW; oldest > first && found.length < limit && scanned < MAX_SCANNED; ) {
      const to = oldest - 1;
      const window = await this.#read(Math.max(first, to - size + 1), to, slice);
      for (const update of window.reverse()) {
        scanned += 1;
        oldest = update.position;
        if (matches(update)) found.push(update);
        if (found.length >= limit) break;
      }
      size = Math.min(LAST_WINDOW, size * 2);
      if (slice.over) await slice.pause();
    }
    const items = found.map((update) => this.#presenter.row(update));
    return { items, next: oldest > first ? String(oldest) : null, scanned, oldest };
  }

  /**
   * Returns one update with its value.
   *
   * @throws {ContextCacheError} `NOT_FOUND` if the log does not hold the position.
   */
  async one(position: number, signal: AbortSignal): Promise<UpdateDetail> {
    const update = await this.find(position);
    if (update === undefined) {
      const { first, committed } = this.#cache.inspection.log;
      const message = `The log holds no update at ${position}: it goes from ${first} to ${committed}.`;
      throw new ContextCacheError('NOT_FOUND', message);
    }
    const before = await this.#before(update, signal);
    const { namespace, key } = update;
    return this.#presenter.update(
      update,
      before && key !== null ? this.#presenter.version(namespace, key, before) : null,
    );
  }

  /** Returns the update at a position; `undefined` if the log does not hold it. */
  async find(position: number): Promise<Update | undefined> {
    const { first, committed } = this.#cache.inspection.log;
    if (position < first || position > committed || position < 1) return undefined;
    for await (const update of this.#cache.readLog({ from: position, to: position }))
      return this.#cache.inspection.opened(update);
    return undefined;
  }

  /** Returns the position of the `count`th matching update from `position` on, or the last position. */
  async #upFrom(
    position: number,
    count: number,
    matches: (update: Update) => boolean,
    slice: TimeSlice,
  ): Promise<number> {
    const { first, committed } = this.#cache.inspection.log;
    let [at, found, scanned] = [Math.max(first, position) - 1, 0, 0];
    while (at < committed && found < count && scanned < MAX_SCANNED) {
      for (const update of await this.#read(at + 1, Math.min(committed, at + FIRST_WINDOW), slice)) {
        scanned += 1;
        at = update.position;
        if (matches(update)) found += 1;
        if (found >= count) break;
      }
    }
    return at;
  }

  async #read(from: number, to: number, slice: TimeSlice): Promise<Update[]> {
    const updates: Update[] = [];
    const { inspection } = this.#cache;
    for await (const update of this.#cache.readLog({ from, to })) updates.push(inspection.opened(update));
    if (slice.over) await slice.pause();
    return updates;
  }

  /** Returns the version of the entry before the update. */
  async #before(
    { namespace, key, position, replaced }: Update,
    signal: AbortSignal,
  ): Promise<EntryVersion<unknown> | undefined> {
    if (key === null || replaced === 0) return undefined;
    for await (const version of this.#cache.history(key, namespace)) {
      signal.throwIfAborted();
      if (version.position < position) return version.value === undefined ? undefined : version;
    }
    return undefined;
  }
}

/**
 * Returns a test for texts that match a pattern, in which `*` stands for any text. Searches for the pieces of the pattern
 * one after another, so no pattern takes exponential time.
 */
export function glob(pattern: string): (text: string) => boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return (text) => text === pattern;
  const middle = rest.filter((piece) => piece !== '');
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    for (const piece of middle) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= text.length - last.length;
  };
}
