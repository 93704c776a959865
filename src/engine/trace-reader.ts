import { WatchHub } from '../actors/watch-hub.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Reading } from '../core/basis.ts';
import type { Clock } from '../core/clock.ts';
import {
  type Contradiction,
  type Contradictions,
  type ContradictionsOptions,
  plainContradictions,
} from '../core/contradiction.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import { openedUpdate } from '../core/opened.ts';
import type { Report } from '../core/report.ts';
import { shownMeta } from '../core/retraction.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import { BasisGraph } from '../core/tables/basis-graph.ts';
import { type UnawareWrite, UnawareWrites } from '../core/tables/unaware-writes.ts';
import { TimeSlice } from '../core/time-slice.ts';
import {
  type Impact,
  type ImpactOptions,
  limitOf,
  type OpenReading,
  type Provenance,
  type ProvenanceOptions,
  readingsOf,
  type TracedLink,
  type TracedWrite,
  type WriteTarget,
} from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import { closed } from '../storage/log-errors.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** Dependencies of a {@link TraceReader}. */
export interface TraceParts {
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly registry: NamespaceRegistry;
  readonly clock: Clock;
  readonly report: Report;
  readonly subjects: SubjectDoor;
}

/** What the updates of the log say about each other. */
interface Index {
  readonly graph: BasisGraph;
  readonly unaware: UnawareWrites;
  /** First position that it has taken in. */
  readonly first: number;
  /** Last position that it has taken in. */
  last: number;
  /** Stops keeping it up to date. */
  readonly stop: () => void;
}

/** Updates in an index that is kept although the log has discarded most of them. A smaller one is not worth a rebuild. */
const KEPT_UPDATES = 1_024;

/**
 * Answers which writes are behind an entry, and what a write has touched. The first question reads the log once, in a branch in memory also that of
 * its parent up to the fork, and creates an
 * index in memory, which commits keep up to date from then on. Once retention has discarded half of the updates that it holds, it is
 * discarded, and the next question rebuilds it. An answer reads the updates that it holds; `impact` also looks, for each of them, at
 * the later updates whose basis has a position, or a range of the same namespace.
 */
export class TraceReader {
  readonly #parts: TraceParts;
  /** Keeps the index up to date. Does not count as a watcher of the cache. */
  readonly #commits: WatchHub;
  #index: Promise<Index> | undefined;
  /** Last position that an index has taken in: a rebuilt one reports nothing again. */
  #added = 0;
  /** Called with what commits add to it. */
  #onUnaware: ((found: UnawareWrite) => void) | undefined;

  constructor(parts: TraceParts) {
    this.#parts = parts;
    this.#commits = new WatchHub(parts.log, parts.report);
  }

  /** Resolves with the writes behind an entry; `undefined` if the key is missing. */
  async provenance(key: string, namespace: string, { at, limit }: ProvenanceOptions): Promise<Provenance | undefined> {
    checkName('key', key);
    checkName('namespace', namespace);
    const most = limitOf('provenance', limit);
    const start = await this.#writeOf(key, namespace, at);
    if (start === undefined) return undefined;
    const { graph } = await this.#current();
    const writes = new Map<number, TracedWrite>([[start.position, traced(start, 0)]]);
    const links: TracedLink[] = [];
    const open: OpenReading[] = [];
    let more = false;
    const slice = new TimeSlice(this.#parts.clock);
    const queue: Update[] = [start];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (slice.over) await slice.pause();
      const { position } = next;
      const depth = (writes.get(position) as TracedWrite).depth + 1;
      for (const reading of readingsOf(next)) {
        const cause = await this.#causeOf(graph, reading, position);
        if (cause === undefined) {
          if (!('version' in reading) || reading.version > 0) open.push({ position, reading });
          continue;
        }
        const isNew = !writes.has(cause.position);
        if (isNew && writes.size >= most) {
          more = true;
          continue;
        }
        links.push({ cause: cause.position, effect: position, certain: true });
        if (!isNew) continue;
        writes.set(cause.position, traced(cause, depth));
        queue.push(cause);
      }
    }
    return { writes: [...writes.values()], links: unique(links), open, more };
  }

  /**
   * Resolves with what a write has touched.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if the log does not have the update; `NOT_FOUND` if the key of the entry is
   *   missing; `INVALID_OPTION`, `INVALID_NAME`.
   */
  async impact(target: WriteTarget, { limit }: ImpactOptions): Promise<Impact> {
    const most = limitOf('impact', limit);
    await this.#parts.log.flush();
    const start = await this.#targetOf(target);
    const { graph } = await this.#current();
    const writes = new Map<number, Impact['writes'][number]>([
      [start.position, { ...traced(start, 0), certain: true }],
    ]);
    const links: TracedLink[] = [];
    let more = false;
    const slice = new TimeSlice(this.#parts.clock);
    // All that is certain comes first, so that each write is met by its most certain way.
    const queues: [Update[], Update[]] = [[start], []];
    for (;;) {
      const next = queues[0].shift() ?? queues[1].shift();
      if (next === undefined) break;
      if (slice.over) await slice.pause();
      const { depth, certain: isCertain } = writes.get(next.position) as Impact['writes'][number];
      for (const { position, names, covers } of graph.effectsOf(next)) {
        const known = writes.get(position);
        if (known === undefined && writes.size >= most) {
          more = true;
          continue;
        }
        const effect = await this.#parts.past.updateAt(position);
        if (effect === undefined) continue;
        // The index knows hashes of keys only.
        const certain = names && isNamedBy(effect, next);
        if (!certain && !covers) continue;
        links.push({ cause: next.position, effect: position, certain });
        const isSure = certain && isCertain;
        if (known !== undefined && (known.certain || !isSure)) continue;
        writes.set(position, { ...traced(effect, known?.depth ?? depth + 1), certain: isSure });
        queues[isSure ? 0 : 1].push(effect);
      }
    }
    const [, ...later] = writes.values();
    return { writes: [...writes.values()], links: unique(links), agents: agentsOf(later), more };
  }

  /** Resolves with a page of contradictions. */
  async contradictions(options: ContradictionsOptions): Promise<Contradictions> {
    const { namespace, since, limit } = plainContradictions(options);
    const { log } = this.#parts;
    await log.flush();
    const index = await this.#current();
    const contradictions: Contradiction[] = [];
    const slice = new TimeSlice(this.#parts.clock);
    let next = since;
    for (const found of index.unaware.after(since)) {
      if (contradictions.length >= limit) return { contradictions, next, more: true };
      if (slice.over) await slice.pause();
      next = found.position;
      if (namespace !== undefined && found.namespace !== namespace) continue;
      const contradiction = await this.#contradictionOf(found);
      if (contradiction !== undefined) contradictions.push(contradiction);
    }
    return { contradictions, next: Math.max(since, index.last), more: false };
  }

  /** Calls back with each contradiction that a later commit causes. Errors of the listener are reported. */
  onContradiction(listener: (contradiction: Contradiction) => MaybePromise<void>): void {
    const { report, log } = this.#parts;
    const failed = (error: unknown) => report(toError(error), { source: 'contradiction' });
    const begin = log.head;
    this.#onUnaware = (found) => {
      if (found.position <= begin) return;
      const told = this.#contradictionOf(found).then((contradiction) => contradiction && listener(contradiction));
      told.catch(failed);
    };
    this.#current().catch(failed);
  }

  /**
   * Resolves with two writes that contradict each other; `undefined` if they say the same, if the log no longer has both, or if a value
   * cannot be read in full because its subject was forgotten or its key is not available.
   */
  async #contradictionOf({ position, earlier: before }: UnawareWrite): Promise<Contradiction | undefined> {
    const { past, subjects } = this.#parts;
    const [stored, storedLater] = [await past.updateAt(before), await past.updateAt(position)];
    if (stored === undefined || storedLater === undefined || storedLater.key === null) return undefined;
    // Equal values of a subject are encrypted to different bytes.
    const [earlier, later] = [openedUpdate<Update>(subjects, stored), openedUpdate<Update>(subjects, storedLater)];
    if (isIncomplete(earlier) || isIncomplete(later)) return undefined;
    const isSet = later.operation === 'set';
    const isSame = isSet === (earlier.operation === 'set') && (!isSet || isEqual(earlier.value, later.value));
    if (isSame) return undefined;
    const { namespace } = later;
    return { namespace, key: storedLater.key, earlier: written(earlier), later: written(later) };
  }

  #add(index: Index, update: Update): void {
    index.graph.add(update);
    const found = index.unaware.add(update);
    index.last = update.position;
    if (update.position <= this.#added) return;
    this.#added = update.position;
    if (found !== undefined) this.#onUnaware?.(found);
  }

  /** Resolves with the index, which the first call creates. */
  #current(): Promise<Index> {
    if (this.#parts.log.status === 'closed') return Promise.reject(closed());
    if (this.#index === undefined) {
      const building = this.#build().catch((error) => {
        if (this.#index === building) this.#index = undefined;
        throw error;
      });
      this.#index = building;
      return building;
    }
    return this.#index.then((index) => {
      if (!this.#discardIfOld(index)) return index;
      return this.#current();
    });
  }

  async #build(): Promise<Index> {
    const { log, past, clock } = this.#parts;
    const graph = new BasisGraph();
    let waiting: Update[] | undefined = [];
    const stop = this.#commits.add({}, (update) => {
      if (waiting !== undefined) waiting.push(update);
      else {
        this.#add(index, update);
        if (this.#discardIfOld(index)) this.#rebuildForHook();
      }
    });
    const through = log.committed;
    const index: Index = { graph, unaware: new UnawareWrites(graph), first: log.first, last: through, stop };
    try {
      const slice = new TimeSlice(clock);
      for await (const updates of past.updates(through)) {
        for (const update of updates) this.#add(index, update);
        if (slice.over) await slice.pause();
      }
    } catch (error) {
      stop();
      throw error;
    }
    for (const update of waiting) this.#add(index, update);
    waiting = undefined;
    return index;
  }

  /** Discards the index if retention has discarded more than half of its updates. Returns whether it has been discarded. */
  #discardIfOld(index: Index): boolean {
    const { first, last, stop } = index;
    const held = last - first + 1;
    if (held < KEPT_UPDATES || (this.#parts.log.first - first) * 2 <= held) return false;
    stop();
    this.#index = undefined;
    return true;
  }

  /** Rebuilds the index if a hook needs it after each commit. */
  #rebuildForHook(): void {
    if (this.#onUnaware === undefined) return;
    this.#current().catch((error) => this.#parts.report(toError(error), { source: 'contradiction' }));
  }

  /** Resolves with the update of a target. */
  async #targetOf(target: WriteTarget): Promise<Update> {
    if (typeof target === 'object' && target !== null) {
      const { key, namespace = DEFAULT_NAMESPACE } = target;
      checkName('key', key);
      checkName('namespace', namespace);
      const update = await this.#writeOf(key, namespace, undefined);
      if (update !== undefined) return update;
      const problem = `Namespace ${JSON.stringify(namespace)} has no key ${JSON.stringify(key)}, or the log no longer has its last write`;
      throw new ContextCacheError('NOT_FOUND', `${problem}. Give the position of a write.`);
    }
    const { log, past } = this.#parts;
    if (!Number.isSafeInteger(target) || target < 1) {
      throw new ContextCacheError(
        'INVALID_OPTION',
        'Give the position of a write, an integer from 1, or { key, namespace }.',
      );
    }
    const update = target > log.head ? undefined : await past.updateAt(target);
    if (update !== undefined) return update;
    const known = `It has positions ${past.reach + 1} to ${log.head}`;
    throw new ContextCacheError('POSITION_UNAVAILABLE', `The log does not have position ${target}. ${known}.`);
  }

  /** Resolves with the last write of an entry; `undefined` if the key is missing, or the log no longer has the write. */
  async #writeOf(key: string, namespace: string, at: number | undefined): Promise<Update | undefined> {
    const { past, log } = this.#parts;
    if (at !== undefined && (!Number.isSafeInteger(at) || at < 0))
      throw new ContextCacheError('INVALID_OPTION', 'provenance: at must be a position, an integer from 0.');
    await log.flush();
    const version = this.#versionOf(key, namespace, at);
    if (version === undefined) return undefined;
    const position = (await this.#current()).graph.positionOf(namespace, version, at);
    return position === undefined ? undefined : past.updateAt(position);
  }

  #versionOf(key: string, namespace: string, at: number | undefined): number | undefined {
    const { past, registry } = this.#parts;
    if (at === undefined) return registry.record(namespace, key)?.version;
    const view = past.at(at);
    try {
      const find = view.finder(namespace);
      return (find === undefined ? view.state(namespace)?.entries.get(key) : find(key))?.version;
    } finally {
      view.release?.();
    }
  }

  /** Resolves with the write that a reading names; `undefined` if it names none, or one that the log no longer has. */
  async #causeOf(graph: BasisGraph, reading: Reading, before: number): Promise<Update | undefined> {
    if (!('version' in reading)) return undefined;
    const position = graph.positionOf(reading.namespace, reading.version, before - 1);
    const cause = position === undefined ? undefined : await this.#parts.past.updateAt(position);
    return cause !== undefined && isOf(cause, reading.key) ? cause : undefined;
  }
}

/** Returns whether an update names another one in its basis. */
function isNamedBy(update: Update, { namespace, key, keys, version }: Update): boolean {
  return readingsOf(update).some((reading) => {
    if (!('version' in reading) || reading.version !== version) return false;
    if ((reading.namespace ?? DEFAULT_NAMESPACE) !== namespace) return false;
    return key === null ? (keys?.includes(reading.key) ?? true) : reading.key === key;
  });
}

/** Returns whether a part of a value cannot be read. */
function isIncomplete({ forgotten, sealed }: Update): boolean {
  return forgotten !== undefined || sealed !== undefined;
}

function isOf({ key, keys }: Update, name: string): boolean {
  return key === null ? (keys?.includes(name) ?? true) : key === name;
}

function written({ position, namespace, key, version, operation, at, agent, meta }: Update): Contradiction['later'] {
  return { position, namespace, key, version, operation, at, agent, ...shownMeta(meta) };
}

function traced(update: Update, depth: number): TracedWrite {
  return { ...written(update), depth };
}

function unique(links: readonly TracedLink[]): TracedLink[] {
  const byEnds = new Map(links.map((link) => [`${link.cause}-${link.effect}`, link]));
  return [...byEnds.values()];
}

function agentsOf(writes: readonly TracedWrite[]): Impact['agents'] {
  const counts = new Map<string | null, number>();
  for (const { agent } of writes) counts.set(agent, (counts.get(agent) ?? 0) + 1);
  return Array.from(counts, ([agent, count]) => ({ agent, writes: count })).sort((a, b) => b.writes - a.writes);
}
