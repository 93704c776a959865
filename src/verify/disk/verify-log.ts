import { encode } from '../../core/encoding/codec.ts';
import { HashSum } from '../../core/encoding/digest.ts';
import type { Update } from '../../core/update.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { decodeTimes, TIMES } from '../../storage/disk/past/past-times.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../../storage/disk/records/block-codec.ts';
import { encodePastUpdate, timesKey } from '../../storage/disk/records/past-records.ts';
import type { Findings } from '../verify-findings.ts';

/** The updates that both the log and the past hold: those after position `after`, up to `through`. */
export interface Overlap {
  /** Start of the past. Updates between here and `after` may have been released. */
  readonly begins: number;
  readonly after: number;
  readonly through: number;
}

/** Verdict on the log. */
export interface LogVerdict {
  /** The last position. */
  readonly head: number;
  /** `true` if every update was found and read. */
  readonly whole: boolean;
  /** Sums of hashes by namespace, over the updates that the past holds too, for comparison. */
  readonly sums: ReadonlyMap<string, HashSum>;
}

/** Returns the bytes of an update that are summed and compared: its position and its content, without the namespace. */
export function updateBytes(position: number, stored: Uint8Array): Uint8Array {
  return Buffer.concat([encode(position), stored]);
}

/** Reads the whole log. Checks that blocks follow without a gap, and versions within each namespace. */
export class LogCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #overlap: Overlap;
  readonly #times: TimesCheck;
  readonly #sums = new Map<string, HashSum>();
  readonly #versions = new Map<string, number>();
  /** `true` if a namespace that is new here must start at version 1. */
  #fromStart: boolean;
  /** The position that must follow; `undefined` after a block that could not be read. */
  #next: number | undefined;
  #head: number;
  #whole = true;

  /** `first`: the position at which the log must start. */
  constructor(storage: PinnedStorage, findings: Findings, first: number, overlap: Overlap) {
    this.#storage = storage;
    this.#findings = findings;
    this.#overlap = overlap;
    this.#times = new TimesCheck(storage, findings, overlap);
    this.#fromStart = first === 1;
    this.#next = first;
    this.#head = first - 1;
  }

  async run(): Promise<LogVerdict> {
    let last = '';
    try {
      // Blocks before the start were released and may not be removed yet.
      const kept = { gte: blockKey(this.#head + 1), lt: LOG_RANGE.lt };
      for await (const [key, record] of this.#storage.entries(kept)) {
        last = key;
        this.#findings.counts.records += 1;
        await this.#takeBlock(key, record);
      }
    } catch (error) {
      this.#whole = false;
      this.#findings.addError('record', last === '' ? {} : { record: last }, error);
    }
    return { head: this.#head, whole: this.#whole, sums: this.#sums };
  }

  async #takeBlock(key: string, record: Uint8Array): Promise<void> {
    let updates: Update[];
    try {
      updates = decodeBlock(key, record);
    } catch (error) {
      this.#findings.addError('record', { record: key, position: blockPosition(key) }, error);
      this.#lose(undefined);
      return;
    }
    this.#follow(key, updates[0]?.position ?? 0);
    for (const update of updates) {
      this.#head = update.position;
      this.#next = update.position + 1;
      this.#takeUpdate(key, update);
      if (this.#whole) await this.#times.take(update);
      this.#findings.counts.updates += 1;
      await this.#findings.step('log', update.position);
    }
  }

  #follow(key: string, position: number): void {
    const due = this.#next;
    if (due === undefined || position === due) return;
    const message =
      position > due
        ? `The log has a gap: positions ${due} to ${position - 1} are missing.`
        : `The log holds position ${position} twice.`;
    this.#findings.add('log', { record: key, position: due }, message);
    this.#lose(due);
  }

  /** Forgets the versions and positions before this point, which are not known. */
  #lose(next: number | undefined): void {
    this.#whole = false;
    this.#fromStart = false;
    this.#versions.clear();
    this.#next = next;
  }

  #takeUpdate(record: string, update: Update): void {
    const { position, namespace, version, drop } = update;
    const known = this.#versions.get(namespace) ?? (this.#fromStart ? 0 : undefined);
    if (
      update.operation === undefined ||
      typeof namespace !== 'string' ||
      (known !== undefined && version !== known + 1)
    ) {
      const message = `The update has version ${version} in its namespace instead of ${(known ?? 0) + 1}.`;
      this.#findings.add('log', { record, position, namespace }, message);
    }
    this.#versions.set(namespace, drop ? 0 : version);
    if (position <= this.#overlap.after || position > this.#overlap.through) return;
    let sum = this.#sums.get(namespace);
    if (sum === undefined) {
      sum = new HashSum();
      this.#sums.set(namespace, sum);
    }
    sum.add(updateBytes(position, encodePastUpdate(update)));
  }
}

/** Compares the instants that the past records by position with those in the log. */
class TimesCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #overlap: Overlap;
  #index = -1;
  #times: readonly number[] = [];
  #latest: number | undefined;

  constructor(storage: PinnedStorage, findings: Findings, overlap: Overlap) {
    this.#storage = storage;
    this.#findings = findings;
    this.#overlap = overlap;
  }

  async take({ position, at }: Update): Promise<void> {
    if (position <= this.#overlap.after || position > this.#overlap.through) return;
    const ordinal = position - this.#overlap.begins - 1;
    const index = Math.floor(ordinal / TIMES);
    if (index !== this.#index) await this.#load(index);
    const stored = this.#times[ordinal % TIMES];
    // If the updates before were released, their latest instant is taken from the record.
    const expected = Math.max(this.#latest ?? this.#times[(ordinal % TIMES) - 1] ?? at, at);
    this.#latest = expected;
    if (stored === expected || stored === undefined) return;
    const message = `The instants by position contain ${stored}, but the log gives ${expected}.`;
    this.#findings.add('past', { record: timesKey(index), position }, message);
    // Avoids the same report for each further update of this record.
    this.#times = [];
  }

  async #load(index: number): Promise<void> {
    this.#index = index;
    const [record] = await this.#storage.getMany([timesKey(index)]);
    try {
      this.#times = decodeTimes(record).at;
    } catch {
      // Reported when all records are checked.
      this.#times = [];
    }
  }
}
