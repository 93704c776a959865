import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { corrupt, unseal } from '../../storage/disk/leveldb/sealed.ts';
import { decodeTimes, lastRecord, TIMES } from '../../storage/disk/past/past-times.ts';
import { LOG_RANGE } from '../../storage/disk/records/block-codec.ts';
import {
  CHUNK_UPDATES,
  decodeChunk,
  decodeFrame,
  PAST_RANGE,
  type PastSummary,
} from '../../storage/disk/records/past-records.ts';
import {
  decodePage,
  PROGRESS_KEY,
  type StoredNamespace,
  SUMMARY_RANGE,
} from '../../storage/disk/records/state-records.ts';
import type { Findings } from '../verify-findings.ts';
import type { NamespaceRecords } from './verify-namespaces.ts';

/** The bounds that the records must fit. */
export interface RecordBounds extends NamespaceRecords {
  readonly head: number;
  /** Number of updates that the instants by position cover. */
  readonly timed: number;
  /** Number of those updates that were released; their instants are gone, except in the record of the last one. */
  readonly gone: number;
}

/** All possible keys: they are UTF-8. */
const EVERYTHING = { gte: '', lt: '\u{10ffff}' } as const;
const CHECKPOINT = '!meta!checkpoint/';
const CONFIG = '!config!';
/** Read and checked before everything else. */
const FIRST_READ: ReadonlySet<string> = new Set(['!meta!format', '!meta!log', PROGRESS_KEY]);
const OF_NAMESPACE = /^!(state|past)!([a-z])\/(\d+):/;

/**
 * Reads every record of the database except the log's. Checks the checksums, and that each record belongs under its
 * key.
 */
export class RecordsCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #bounds: RecordBounds;
  #times = 0;

  constructor(storage: PinnedStorage, findings: Findings, bounds: RecordBounds) {
    this.#storage = storage;
    this.#findings = findings;
    this.#bounds = bounds;
  }

  async run(): Promise<void> {
    const around = [
      { gte: EVERYTHING.gte, lt: LOG_RANGE.gte },
      { gte: LOG_RANGE.lt, lt: EVERYTHING.lt },
    ];
    for (const range of around) await this.#readRange(range);
    const due = this.#bounds.timed - TIMES * lastRecord(this.#bounds.gone);
    if (this.#times !== due) {
      const message = `The past has the instants of ${this.#times} updates instead of ${due}.`;
      this.#findings.add('past', {}, message);
    }
  }

  async #readRange(range: { readonly gte: string; readonly lt: string }): Promise<void> {
    let last = range.gte;
    try {
      for await (const [key, bytes] of this.#storage.entries(range)) {
        last = key;
        this.#findings.counts.records += 1;
        try {
          this.#take(key, bytes);
        } catch (error) {
          this.#findings.addError('record', { record: key }, error);
        }
        await this.#findings.step('records', this.#findings.counts.records);
      }
    } catch (error) {
      this.#findings.addError('record', { record: last }, error);
    }
  }

  #take(key: string, bytes: Uint8Array): void {
    if (FIRST_READ.has(key) || key.startsWith(SUMMARY_RANGE.gte) || key.startsWith(PAST_RANGE.gte)) return;
    if (key.startsWith(CHECKPOINT)) this.#takeCheckpoint(key, bytes);
    else if (key.startsWith(CONFIG)) unseal(bytes, () => `The setting ${key.slice(CONFIG.length)}`);
    else if (key.startsWith('!past!t/')) this.#takeTimes(key, bytes);
    else this.#takeOfNamespace(key, bytes);
  }

  #takeCheckpoint(key: string, bytes: Uint8Array): void {
    const name = key.slice(CHECKPOINT.length);
    const position = unseal(bytes, () => `The checkpoint of ${name}`);
    if (Number.isInteger(position) && (position as number) <= this.#bounds.head) return;
    const message = `The log ends at ${this.#bounds.head}, but follower ${name} has already received ${String(position)}.`;
    this.#findings.add('log', { record: key }, message);
  }

  #takeTimes(key: string, bytes: Uint8Array): void {
    const { at: times } = decodeTimes(bytes);
    const { timed } = this.#bounds;
    const index = Number.parseInt(key.slice('!past!t/'.length), 16);
    const due = Math.min(TIMES, timed - index * TIMES);
    this.#times += times.length;
    if (times.length !== due) throw corrupt(`A record holds the instants of ${times.length} updates instead of ${due}`);
    if (times.some((time, at) => time < (times[at - 1] ?? time))) throw corrupt('The instants of updates decrease');
  }

  #takeOfNamespace(key: string, bytes: Uint8Array): void {
    const [head = '', table, kind, length] = OF_NAMESPACE.exec(key) ?? [];
    const name = key.slice(head.length, head.length + Number(length));
    const numbers = key
      .slice(head.length + Number(length))
      .split('/')
      .slice(1);
    const indexes = numbers.map((text) => (/^[0-9a-f]+$/.test(text) ? Number.parseInt(text, 16) : Number.NaN));
    const read = READERS.get(`${table}/${kind}/${indexes.length}`);
    const state = this.#bounds.states.get(name);
    const past = this.#bounds.pasts.get(name);
    if (read === undefined || !read(bytes, indexes[0] ?? 0, state, past)) {
      this.#findings.add('record', { record: key }, 'The record does not belong in this database.');
    }
  }
}

/** Reads a record of a namespace and returns whether it may have this number. */
type RecordReader = (
  bytes: Uint8Array,
  index: number,
  state: StoredNamespace | undefined,
  past: PastSummary | undefined,
) => boolean;

const READERS: ReadonlyMap<string, RecordReader> = new Map<string, RecordReader>([
  [
    'state/p/1',
    (bytes, index, state) => {
      decodePage(bytes);
      return index < (state?.pages ?? 0);
    },
  ],
  [
    'past/u/1',
    (bytes, index, _state, past) => {
      decodeChunk(bytes);
      return index >= (past?.firstChunk ?? 0) && index < Math.ceil((past?.count ?? 0) / CHUNK_UPDATES);
    },
  ],
  [
    'past/f/1',
    (bytes, index, _state, past) => {
      decodeFrame(bytes);
      return index >= (past?.firstFrame ?? 0) && index < (past?.frames ?? 0);
    },
  ],
  [
    'past/p/2',
    (bytes, index, _state, past) => {
      decodePage(bytes);
      // Pages of a frame are written before the frame itself. What a crash leaves of them is overwritten by the next
      // frame.
      return index >= (past?.firstFrame ?? 0) && index <= (past?.frames ?? 0);
    },
  ],
  [
    'past/k/2',
    (bytes, index, _state, past) => {
      decodePage(bytes);
      // The same holds for a keyframe.
      const generation = past?.keyframe?.generation ?? 0;
      return index === generation || index === generation + 1;
    },
  ],
]);
