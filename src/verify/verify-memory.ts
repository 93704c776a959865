import { digestOf, digestOfAll, NamespaceDigest } from '../core/encoding/digest.ts';
import type { Capture } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import { digestOfCapture } from '../past/digests.ts';
import type { PinnedStorage } from '../storage/disk/leveldb/pinned-storage.ts';
import type { LevelLog } from '../storage/disk/log/level-log.ts';
import {
  decodePage,
  decodeProgress,
  decodeSummary,
  PROGRESS_KEY,
  pageKey,
  type StoredNamespace,
  summaryKey,
} from '../storage/disk/records/state-records.ts';
import { emptySummary } from '../storage/disk/state/fold-updates.ts';
import { NamespaceFold } from '../storage/disk/state/namespace-fold.ts';
import type { StateTable } from '../storage/disk/state/state-table.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import { captureState } from '../storage/state-capture.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { digestOfFold } from './disk/verify-frames.ts';
import type { Findings } from './verify-findings.ts';

/** Upper bounds of what is captured at one time: namespaces, and their entries. */
const GROUP_NAMESPACES = 512;
const GROUP_ENTRIES = 20_000;
/** Number of pages read at a time. */
const PAGES = 256;

/**
 * Checks the memory of a cache with a data directory: compares every namespace in memory with what is stored plus the
 * log's updates after it.
 */
export class ResidentCheck {
  readonly #registry: NamespaceRegistry;
  readonly #log: LevelLog;
  readonly #table: StateTable;
  readonly #findings: Findings;

  constructor(registry: NamespaceRegistry, log: LevelLog, table: StateTable, findings: Findings) {
    this.#registry = registry;
    this.#log = log;
    this.#table = table;
    this.#findings = findings;
  }

  async run(): Promise<void> {
    await this.#compareNames();
    const names = Array.from(this.#registry.records(), ({ name }) => name);
    for (let next = 0; next < names.length; ) {
      // Nothing else runs between here and the last capture, so all captures are of the same position.
      const captures: Capture[] = [];
      let entries = 0;
      while (next < names.length && captures.length < GROUP_NAMESPACES && entries < GROUP_ENTRIES) {
        const state = this.#registry.stateInMemory(names[next] as string);
        next += 1;
        if (state === undefined) continue;
        captures.push(state.capture());
        entries += state.entries.size;
      }
      const storage = this.#log.directory.pin();
      try {
        const after = this.#recentOf(storage, captures);
        for (const capture of captures) await this.#compare(storage, capture, after.get(capture.name) ?? []);
      } finally {
        for (const capture of captures) capture.close();
        await storage.close();
      }
    }
  }

  /** Checks that every stored namespace is known, and that every known one that is not in memory is stored. */
  async #compareNames(): Promise<void> {
    const add = (namespace: string, message: string) => this.#findings.add('memory', { namespace }, message);
    for (const [name, record] of this.#registry.entries()) {
      if (record === null && !this.#table.has(name)) add(name, 'The namespace is neither in memory nor stored.');
      await this.#findings.step('memory', 0);
    }
    for (const name of [...this.#table.names()]) {
      const isLost = this.#table.has(name) && !this.#registry.has(name) && !this.#wasDropped(name);
      if (isLost) add(name, 'The namespace is stored but not known.');
      await this.#findings.step('memory', 0);
    }
  }

  #wasDropped(name: string): boolean {
    const recent = this.#log.recent(this.#table.checkpoint + 1, this.#log.head);
    return recent.findLast(({ namespace }) => namespace === name)?.drop === true;
  }

  /** Groups the updates after the stored state by namespace. */
  #recentOf(storage: PinnedStorage, captures: readonly Capture[]): Map<string, Update[]> {
    const { checkpoint } = decodeProgress(storage.getSync(PROGRESS_KEY));
    const updates = new Map<string, Update[]>(captures.map(({ name }) => [name, []]));
    for (const update of this.#log.recent(checkpoint + 1, this.#log.head)) updates.get(update.namespace)?.push(update);
    return updates;
  }

  async #compare(storage: PinnedStorage, capture: Capture, after: readonly Update[]): Promise<void> {
    const { name: namespace, version, count } = capture;
    try {
      const stored = storage.getSync(summaryKey(namespace));
      const base = stored === undefined ? emptySummary(namespace) : decodeSummary(stored);
      const expected = await this.#digestAfter(storage, base, after);
      const found = await digestOfCapture(capture, this.#findings.slice);
      const isEmpty = version === 0 && count === 0;
      if (isEmpty ? expected !== undefined : expected !== found) {
        const message = `The namespace in memory (version ${version}, ${count} entries) differs from what is stored and logged.`;
        this.#findings.add('memory', { namespace, position: capture.position }, message);
      }
    } catch (error) {
      this.#findings.addError('memory', { namespace }, error);
    }
    this.#findings.counts.resident += 1;
    await this.#findings.step('memory', this.#findings.counts.resident);
  }

  /** Computes the digest of a stored namespace after some updates; `undefined` if it does not exist then. */
  async #digestAfter(
    storage: PinnedStorage,
    base: StoredNamespace,
    after: readonly Update[],
  ): Promise<string | undefined> {
    if (after.length === 0)
      return base.version === 0 ? undefined : (base.digest ?? (await digestOfPages(storage, base)));
    const fold = new NamespaceFold(base, after, this.#table.keepsValues);
    const needed = [...fold.needed()];
    for (let first = 0; first < needed.length; first += PAGES) {
      const some = needed.slice(first, first + PAGES);
      const records = await storage.getMany(some.map(([key]) => key));
      for (const [index, [, page]] of some.entries()) fold.load(page, records[index]);
    }
    fold.fold();
    return fold.summary?.digest;
  }
}

async function digestOfPages(storage: PinnedStorage, { name, version, pages }: StoredNamespace): Promise<string> {
  const digest = new NamespaceDigest();
  for (let page = 0; page < pages; page += 1) {
    const [record] = await storage.getMany([pageKey(name, page)]);
    for (const [key, entry] of decodePage(record)) digest.add(key, entry);
  }
  return digest.at(version);
}

/** The parts of a cache in memory. */
export interface MemoryParts {
  readonly registry: NamespaceRegistry;
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly now: number;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
}

/**
 * Verifies a cache in memory: folds its log, if that is still complete, and compares the namespaces with the result.
 */
export async function verifyMemory(
  { registry, log, past, now, keepsValues }: MemoryParts,
  findings: Findings,
): Promise<{ readonly position: number; readonly digest: string }> {
  const captured = captureState(registry, log, now);
  const { position } = captured;
  const isWhole = past.first === log.first - 1;
  const view = isWhole ? past.at(position) : undefined;
  const expected = new Set(view?.names());
  const digests: [name: string, digest: string][] = [];
  try {
    for await (const capture of captured.namespaces()) {
      const digest = await digestOfCapture(capture, findings.slice);
      digests.push([capture.name, digest]);
      findings.counts.namespaces += 1;
      findings.counts.entries += capture.count;
      if (view === undefined) continue;
      expected.delete(capture.name);
      const state = view.state(capture.name);
      findings.counts.resident += 1;
      const folded = state && (keepsValues ? digestOf(state) : await digestOfFold(state, findings, false));
      if (folded === digest) continue;
      findings.add(
        'memory',
        { namespace: capture.name, position },
        'The namespace differs from what its updates lead to.',
      );
    }
  } finally {
    captured.close();
  }
  for (const namespace of expected) findings.add('memory', { namespace, position }, 'The namespace is missing.');
  if (isWhole) findings.counts.updates += position - past.first;
  else findings.notes.push('There was no log to replay: the log in memory no longer holds its start.');
  return { position, digest: digestOfAll(digests) };
}
