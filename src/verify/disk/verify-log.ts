import { encode } from '../../core/encoding/codec.ts';
import { HashSum } from '../../core/encoding/digest.ts';
import type { Update } from '../../core/update.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { decodeTimes, TIMES } from '../../storage/disk/past/past-times.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../../storage/disk/records/block-codec.ts';
import { encodePastUpdate, timesKey } from '../../storage/disk/records/past-records.ts';
import type { Findings } from '../verify-findings.ts';

/** Which updates the log and the past both hold: those after the one position, up to the other. */
export interface Overlap {
  /** Where the past was begun; what lies between here and `after` may have been let go of. */
  readonly begins: number;
  readonly after: number;
  readonly through: number;
}

/** What a verified log says. */
export interface LogVerdict {
  /** The last position. */
  readonly head: number;
  /** Whether every update was found and read. */
  readonly whole: boolean;
  /** By namespace a sum of hashes of the updates that the past holds as well, to be compared with those there. */
  readonly sums: ReadonlyMap<string, HashSum>;
}

/** What makes an update, its place included, to be summed and compared; the namespace is known. */
export function updateBytes(position: number, stored: Uint8Array): Uint8Array {
  return Buffer.concat([encode(position), stored]);
}

/** Reads the whole log: blocks without a gap, and in each namespace one version after the other. */
export class LogCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #overlap: Overlap;
  readonly #times: TimesCheck;
  readonly #sums = new Map<string, HashSum>();
  readonly #versions = new Map<string, number>();
  /** Whether a namespace that is new here begins at version 1. */
  #fromStart: boolean;
  /** The position that is due; `undefined` after what could not be read. */
  #next: number | undefined;
  #head: number;
  #whole = true;

  /** `first`: where the log must begin. */
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
      // What lies before the beginning was let go of, and may not be gone yet.
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

  /** From here on what came before is not known. */
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
      const message = `The update has version ${version} of its namespace where ${(known ?? 0) + 1} is due.`;
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

/** Holds the instants that the past keeps by position against those in the log. */
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
    // Where the updates before it have been let go of, the latest instant of theirs is taken from here.
    const expected = Math.max(this.#latest ?? this.#times[(ordinal % TIMES) - 1] ?? at, at);
    this.#latest = expected;
    if (stored === expected || stored === undefined) return;
    const message = `The instants by position say ${stored} where the log says ${expected}.`;
    this.#findings.add('past', { record: timesKey(index), position }, message);
    // Not again with each update until the next record.
    this.#times = [];
  }

  async #load(index: number): Promise<void> {
    this.#index = index;
    const [record] = await this.#storage.getMany([timesKey(index)]);
    try {
      this.#times = decodeTimes(record).at;
    } catch {
      // Told when all records are looked at.
      this.#times = [];
    }
  }
}
