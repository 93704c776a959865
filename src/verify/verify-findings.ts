import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { TimeSlice } from '../core/time-slice.ts';

/**
 * Kind of a problem: the log, the base that the log goes on from (`base`), the index that is derived from both and can be
 * rebuilt (`index`), a namespace in memory (`memory`), a stored snapshot (`backup`); or, in a mirror or backup, a key or
 * namespace that is absent (`missing`), should not exist (`extra`), or differs (`different`).
 */
export type VerifyProblemKind = 'log' | 'base' | 'index' | 'memory' | 'backup' | 'missing' | 'extra' | 'different';

/** Location of a problem, as exact as it is known. */
export interface VerifyLocation {
  /** Path of a file relative to the data directory, and the byte offset in it. */
  readonly file?: string;
  readonly offset?: number;
  /** Key of a record in the index. */
  readonly record?: string;
  /** Position in the log. */
  readonly position?: number;
  readonly namespace?: string;
  readonly key?: string;
  /** Id of a stored snapshot. */
  readonly snapshot?: string;
}

/** A problem that a verification has found. */
export interface VerifyProblem {
  readonly kind: VerifyProblemKind;
  readonly where: VerifyLocation;
  /** Text for people. Contains no value. */
  readonly message: string;
}

/** How much was checked. */
export interface VerifyCounts {
  /** Frames of the base and the log that were read and whose checksum was checked. */
  frames: number;
  /** Updates in the log that were folded again. */
  updates: number;
  /** Records of the index that were read and whose checksum was checked. */
  records: number;
  /** Copies of a namespace in the past that were compared with the folded state. */
  copies: number;
  namespaces: number;
  entries: number;
  /** Namespaces in memory that were compared with the folded state. */
  resident: number;
  /** Stored snapshots of which every part was read. */
  snapshots: number;
  /** Entries that were compared with a mirror or a backup. */
  compared: number;
}

/** Progress of a verification: the present stage, and the number of items checked in it. */
export interface VerifyProgress {
  readonly stage: 'log' | 'namespaces' | 'records' | 'memory' | 'backups' | 'against';
  readonly done: number;
}

/** Greatest number of problems that are reported one by one. */
const MAX_PROBLEMS = 100;

/** Collects what a verification finds. */
export class Findings {
  readonly problems: VerifyProblem[] = [];
  /** Number of problems beyond those. */
  more = 0;
  /** Notes on what could not be checked and why. Not problems by themselves. */
  readonly notes: string[] = [];
  /** Reasons why the index was rebuilt. */
  repaired: readonly string[] = [];
  readonly counts: VerifyCounts = {
    frames: 0,
    updates: 0,
    records: 0,
    copies: 0,
    namespaces: 0,
    entries: 0,
    resident: 0,
    snapshots: 0,
    compared: 0,
  };
  readonly signal: AbortSignal | undefined;
  readonly #slice: TimeSlice;
  readonly #clock: Clock;
  readonly #onProgress: (progress: VerifyProgress) => void;

  constructor(clock: Clock, signal?: AbortSignal, onProgress: (progress: VerifyProgress) => void = () => {}) {
    this.signal = signal;
    this.#clock = clock;
    this.#slice = new TimeSlice(clock, signal);
    this.#onProgress = onProgress;
  }

  /**
   * Returns findings for a second verification, after the index was rebuilt: for what was wrong with it, or for `reason`
   * if there was nothing to compare.
   */
  afterRepair(reason: string | undefined): Findings {
    const again = new Findings(this.#clock, this.signal, this.#onProgress);
    const wrong = this.problems.filter(({ kind }) => kind === 'index').map(({ message }) => message);
    again.repaired = reason === undefined ? wrong : [reason];
    return again;
  }

  add(kind: VerifyProblemKind, where: VerifyLocation, message: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ kind, where, message });
    else this.more += 1;
  }

  /**
   * Adds a problem for an error that reading has thrown. Throws an error on that is no finding about the stored data.
   */
  addError(kind: VerifyProblemKind, where: VerifyLocation, thrown: unknown): void {
    this.signal?.throwIfAborted();
    const error = toError(thrown);
    if (error instanceof ContextCacheError && !FOUND.has(error.code)) throw error;
    // The remedy for a damaged directory is not repeated for each of its records.
    this.add(kind, where, error.message.replace(/\. (Nothing was changed|The index is derived)\b.*$/, '.'));
  }

  /** Reports progress from time to time, and gives other tasks a turn. */
  async step(stage: VerifyProgress['stage'], done: number): Promise<void> {
    if (!this.#slice.over) return;
    this.#onProgress({ stage, done });
    await this.#slice.pause();
  }

  /** The time slice of the verification, for synchronous work. */
  get slice(): TimeSlice {
    return this.#slice;
  }
}

/** Codes of errors about the stored data itself. Other errors mean that it could not be read. */
const FOUND: ReadonlySet<string> = new Set(['LOG_CORRUPT', 'INVARIANT', 'SNAPSHOT_CORRUPT', 'FORMAT_UNSUPPORTED']);
