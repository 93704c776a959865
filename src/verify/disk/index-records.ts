import type { PinnedStorage } from '../../storage/disk/index/leveldb/pinned-storage.ts';
import { corrupt } from '../../storage/disk/index/leveldb/sealed.ts';
import { decodeChunk } from '../../storage/disk/index/records/chunk-codec.ts';
import {
  CHUNK_UPDATES,
  decodeFrame,
  decodePast,
  PAST_RANGE,
  type PastSummary,
} from '../../storage/disk/index/records/past-records.ts';
import { PROGRESS_KEY, type Progress } from '../../storage/disk/index/records/progress.ts';
import { addRecord } from '../../storage/disk/index/records/record-sum.ts';
import {
  decodePage,
  decodeSummary,
  type StoredNamespace,
  SUMMARY_RANGE,
} from '../../storage/disk/index/records/state-records.ts';
import { decodeTimes, lastRecord, TIMES } from '../../storage/disk/index/records/times-codec.ts';
import type { Findings, VerifyLocation } from '../verify-findings.ts';

/** All possible keys: they are UTF-8. */
const EVERYTHING = { gte: '', lt: '\u{10ffff}' } as const;
const TIMES_PREFIX = '!past!t/';
const OF_NAMESPACE = /^!(state|past)!([a-z])\/(\d+):/;

/**
 * Reads every record of an index once. Checks the checksums, and that each record belongs there. A namespace's own record
 * comes before its other records in the order of the keys, and those of the past come before those of the state.
 */
export class IndexRecords {
  readonly states = new Map<string, StoredNamespace>();
  readonly pasts = new Map<string, PastSummary>();
  readonly #storage: PinnedStorage;
  readonly #progress: Progress;
  readonly #findings: Findings;
  readonly #report: (where: VerifyLocation, thrown: unknown) => void;
  /** Number of instants in the records. */
  #times = 0;
  /** Sum of the checksums of the records of namespaces and pasts. */
  #sum = 0;

  constructor(
    storage: PinnedStorage,
    progress: Progress,
    findings: Findings,
    report: (where: VerifyLocation, thrown: unknown) => void,
  ) {
    this.#storage = storage;
    this.#progress = progress;
    this.#findings = findings;
    this.#report = report;
  }

  async read(): Promise<void> {
    let last = '';
    try {
      for await (const [record, bytes] of this.#storage.entries(EVERYTHING)) {
        last = record;
        this.#findings.counts.records += 1;
        try {
          if (!this.#take(record, bytes)) throw corrupt('The record does not belong in this index');
        } catch (error) {
          this.#report({ record }, error);
        }
        await this.#findings.step('records', this.#findings.counts.records);
      }
    } catch (error) {
      this.#report({ record: last }, error);
    }
    const { begins, since, checkpoint, namespaces, sum } = this.#progress;
    const due = checkpoint - begins - TIMES * lastRecord(since - begins);
    if (this.#times !== due) this.#report({}, corrupt(`The index has ${this.#times} instants instead of ${due}`));
    if (this.states.size !== namespaces) {
      this.#report({}, corrupt(`The index has ${this.states.size} namespaces instead of ${namespaces}`));
    }
    if (this.#sum !== sum)
      this.#report({}, corrupt('The records of the namespaces are not those that were written last'));
  }

  /** Returns `false` for a record that does not belong here. */
  #take(key: string, bytes: Uint8Array): boolean {
    if (key === PROGRESS_KEY) return true;
    if (key.startsWith(SUMMARY_RANGE.gte)) {
      const summary = decodeSummary(bytes);
      this.#sum = addRecord(this.#sum, bytes);
      this.states.set(summary.name, summary);
      return key === SUMMARY_RANGE.gte + summary.name;
    }
    if (key.startsWith(PAST_RANGE.gte)) {
      const summary = decodePast(bytes);
      this.#sum = addRecord(this.#sum, bytes);
      this.pasts.set(summary.name, summary);
      return key === PAST_RANGE.gte + summary.name;
    }
    return key.startsWith(TIMES_PREFIX) ? this.#takeTimes(key, bytes) : this.#takeOfNamespace(key, bytes);
  }

  #takeTimes(key: string, bytes: Uint8Array): boolean {
    const { begins, since, checkpoint } = this.#progress;
    const times = decodeTimes(bytes).at.length;
    const index = Number.parseInt(key.slice(TIMES_PREFIX.length), 16);
    this.#times += times;
    return index >= lastRecord(since - begins) && times === Math.min(TIMES, checkpoint - begins - index * TIMES);
  }

  #takeOfNamespace(key: string, bytes: Uint8Array): boolean {
    const [head = '', table, kind, length] = OF_NAMESPACE.exec(key) ?? [];
    const name = key.slice(head.length, head.length + Number(length));
    const [first = Number.NaN, second] = key
      .slice(head.length + Number(length))
      .split('/')
      .slice(1)
      .map((text) => (/^[0-9a-f]+$/.test(text) ? Number.parseInt(text, 16) : Number.NaN));
    if (table === 'state' && kind === 'p' && second === undefined) {
      decodePage(bytes);
      return first < (this.states.get(name)?.pages ?? 0);
    }
    const past = this.pasts.get(name);
    const { count = 0, firstChunk = 0, firstFrame = 0, frames = 0, keyframe } = past ?? {};
    switch (`${table}/${kind}/${second === undefined ? 1 : 2}`) {
      case 'past/u/1': {
        const held = decodeChunk(bytes).positions.length;
        return first >= firstChunk && held === Math.min(CHUNK_UPDATES, count - first * CHUNK_UPDATES);
      }
      case 'past/f/1':
        decodeFrame(bytes);
        return first >= firstFrame && first < frames;
      case 'past/p/2':
        decodePage(bytes);
        // Pages of a copy are written before the copy itself. Leftovers of a crash are overwritten by the next one.
        return first >= firstFrame && first <= frames && second !== undefined && second >= 0;
      case 'past/k/2': {
        decodePage(bytes);
        // The same holds for a keyframe.
        const { generation } = keyframe ?? { generation: 0 };
        return first === generation || first === generation + 1;
      }
      default:
        return false;
    }
  }
}
