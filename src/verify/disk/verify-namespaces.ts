import { digestOfAll, type HashSum } from '../../core/encoding/digest.ts';
import { encodeEntry } from '../../core/encoding/entry-codec.ts';
import type { NamespaceState } from '../../core/namespace-state.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { decodePast, PAST_RANGE, type PastSummary } from '../../storage/disk/records/past-records.ts';
import {
  decodePage,
  decodeSummary,
  type Progress,
  pageKey,
  type StoredNamespace,
  SUMMARY_RANGE,
} from '../../storage/disk/records/state-records.ts';
import { pageOf } from '../../storage/disk/state/state-hash.ts';
import type { Findings, VerifyLocation } from '../verify-findings.ts';
import { digestOfFold } from './verify-frames.ts';
import type { LogVerdict, Overlap } from './verify-log.ts';
import { PastCheck } from './verify-past.ts';
import { type StateVerdict, verifyState } from './verify-state.ts';

/** The namespaces that have records. */
export interface NamespaceRecords {
  readonly states: ReadonlyMap<string, StoredNamespace>;
  readonly pasts: ReadonlyMap<string, PastSummary>;
}

/** Number of keys that are reported for a namespace that differs from what its updates lead to. */
const REPORTED_KEYS = 5;

/** Reads the records of all namespaces, without their entries and updates. */
export async function readNamespaceRecords(storage: PinnedStorage, findings: Findings): Promise<NamespaceRecords> {
  const read = async <Summary extends { readonly name: string }>(
    range: typeof SUMMARY_RANGE | typeof PAST_RANGE,
    decode: (record: Uint8Array) => Summary,
  ) => {
    const summaries = new Map<string, Summary>();
    let last = '';
    try {
      for await (const [record, bytes] of storage.entries(range)) {
        last = record;
        await findings.step('namespaces', 0);
        try {
          const summary = decode(bytes);
          if (record === range.gte + summary.name) summaries.set(summary.name, summary);
          else findings.add('record', { record }, 'The record of a namespace is stored under another name.');
        } catch (error) {
          findings.addError('record', { record, namespace: record.slice(range.gte.length) }, error);
        }
      }
    } catch (error) {
      findings.addError('record', { record: last }, error);
    }
    return summaries;
  };
  return { states: await read(SUMMARY_RANGE, decodeSummary), pasts: await read(PAST_RANGE, decodePast) };
}

/** Folds every namespace's past again and compares its state with the result. */
export class NamespacesCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #log: LogVerdict;
  readonly #overlap: Overlap;
  readonly #progress: Progress;
  #unreplayed = 0;

  constructor(storage: PinnedStorage, findings: Findings, log: LogVerdict, progress: Progress, overlap: Overlap) {
    this.#progress = progress;
    this.#storage = storage;
    this.#findings = findings;
    this.#log = log;
    this.#overlap = overlap;
  }

  /** Checks all namespaces. Resolves with the digest of all of them as stored. */
  async run({ states, pasts }: NamespaceRecords): Promise<string> {
    const digests: [name: string, digest: string][] = [];
    const { namespaces = states.size } = this.#progress;
    if (namespaces !== states.size) {
      this.#findings.add('state', {}, `The state table has ${states.size} namespaces instead of ${namespaces}.`);
    }
    for (const name of new Set([...states.keys(), ...pasts.keys()])) {
      this.#findings.signal?.throwIfAborted();
      const stored = states.get(name);
      if (stored !== undefined) this.#findings.counts.namespaces += 1;
      const verdict = stored && (await verifyState(this.#storage, this.#findings, stored, this.#progress.allPages));
      if (verdict !== undefined) digests.push([name, verdict.digest]);
      await this.#replay(name, stored, verdict, pasts.get(name));
    }
    for (const name of this.#log.sums.keys()) {
      if (!pasts.has(name)) this.#findings.add('past', { namespace: name }, 'The namespace has updates but no past.');
    }
    if (this.#unreplayed > 0) {
      const why =
        'their state at the start of the past is not kept (an external primary holds the values) or is damaged';
      this.#findings.notes.push(`${this.#unreplayed} namespaces could not be replayed: ${why}.`);
    }
    return digestOfAll(digests);
  }

  async #replay(
    name: string,
    stored: StoredNamespace | undefined,
    verdict: StateVerdict | undefined,
    summary: PastSummary | undefined,
  ): Promise<void> {
    if (summary === undefined) {
      // Not changed since the start of the past, or of what is kept of it.
      if (stored !== undefined && stored.position > this.#overlap.after) {
        this.#findings.add('past', { namespace: name }, 'The namespace has changed but has no past.');
      }
      return;
    }
    const past = await new PastCheck(this.#storage, this.#findings, summary, this.#overlap).run();
    if (this.#log.whole && past.sum !== undefined) this.#compareWithLog(name, past.sum);
    if (past.state === undefined) this.#unreplayed += 1;
    else await this.#compareState(past.state, stored, verdict);
  }

  #compareWithLog(name: string, sum: HashSum): void {
    const inLog = this.#log.sums.get(name)?.toString() ?? NOTHING;
    if (inLog === sum.toString()) return;
    this.#findings.add(
      'past',
      { namespace: name },
      'The past of the namespace and the log do not hold the same updates.',
    );
  }

  async #compareState(
    state: NamespaceState,
    stored: StoredNamespace | undefined,
    verdict: StateVerdict | undefined,
  ): Promise<void> {
    const where = { namespace: state.name };
    if (stored === undefined || verdict === undefined) {
      if (state.version > 0) this.#findings.add('state', where, 'The namespace is missing in the state table.');
      return;
    }
    if (stored.version !== state.version || stored.position !== state.position) {
      const { version, position } = stored;
      const message = `The state is at version ${version} and position ${position}; its updates lead to version ${state.version} and position ${state.position}.`;
      this.#findings.add('state', where, message);
      return;
    }
    if (!verdict.whole) return;
    const digest = await digestOfFold(state, this.#findings, verdict.valued || stored.count === 0);
    if (digest !== verdict.digest) await this.#reportKeys(state, stored, verdict.valued);
  }

  /** Reports some of the keys that differ from what the updates lead to. */
  async #reportKeys(state: NamespaceState, { name, pages }: StoredNamespace, valued: boolean): Promise<void> {
    let found = 0;
    const report = (where: VerifyLocation, message: string) => {
      found += 1;
      if (found <= REPORTED_KEYS) this.#findings.add('state', where, message);
    };
    const met = new Set<string>();
    for (let page = 0; page < pages; page += 1) {
      const record = pageKey(name, page);
      const [bytes] = await this.#storage.getMany([record]);
      for (const [key, entry] of decodePage(bytes)) {
        met.add(key);
        const expected = state.entries.get(key);
        const encoded = expected && encodeEntry(valued ? expected : { ...expected, value: undefined });
        const same =
          encoded && encoded.expiresAt === entry.expiresAt && Buffer.compare(encoded.bytes, entry.bytes) === 0;
        if (!same) report({ record, namespace: name, key }, 'The entry differs from what the updates lead to.');
      }
      await this.#findings.step('namespaces', this.#findings.counts.namespaces);
    }
    for (const key of state.entries.keys()) {
      if (met.has(key)) continue;
      report({ record: pageKey(name, pageOf(key, pages)), namespace: name, key }, 'The entry is missing.');
    }
    if (found > REPORTED_KEYS) {
      this.#findings.add('state', { namespace: name }, `${found} entries differ from what the updates lead to.`);
    }
  }
}

/** The sum of no updates. */
const NOTHING = '0'.repeat(64);
