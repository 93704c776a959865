import type { Clock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { TimeSlice } from '../core/time-slice.ts';

/**
 * What a problem is about: a file of the database (`file`), a record in it (`record`), the log, the state table, the
 * past, a namespace in memory (`memory`), a stored snapshot (`backup`); or, in what was compared with, a key or namespace
 * that is not there (`missing`), should not be there (`extra`), or has another value (`different`).
 */
export type VerifyProblemKind =
  | 'file'
  | 'record'
  | 'log'
  | 'state'
  | 'past'
  | 'memory'
  | 'backup'
  | 'missing'
  | 'extra'
  | 'different';

/** Where a problem is, as closely as is known. */
export interface VerifyLocation {
  /** A file, from the data directory on, and the byte in it. */
  readonly file?: string;
  readonly offset?: number;
  /** Key of a record in the database. */
  readonly record?: string;
  /** Position in the log. */
  readonly position?: number;
  readonly namespace?: string;
  readonly key?: string;
  /** A stored snapshot. */
  readonly snapshot?: string;
}

/** Something that is not as it should be. */
export interface VerifyProblem {
  readonly kind: VerifyProblemKind;
  readonly where: VerifyLocation;
  /** For people. Holds no value. */
  readonly message: string;
}

/** How much was looked at. */
export interface VerifyCounts {
  /** Records of the database, each read and its checksum proven. */
  records: number;
  /** Updates in the log. */
  updates: number;
  /** Updates that were folded again. */
  replayed: number;
  /** Copies of a namespace in the past that were compared with what was folded. */
  frames: number;
  namespaces: number;
  entries: number;
  /** Namespaces in memory that were compared with what was folded. */
  resident: number;
  /** Stored snapshots whose every part was read. */
  snapshots: number;
  /** Entries that were compared with a mirror or a backup. */
  compared: number;
}

/** What is being looked at, and how many of it have been. */
export interface VerifyProgress {
  readonly stage: 'files' | 'log' | 'namespaces' | 'records' | 'memory' | 'backups' | 'against';
  readonly done: number;
}

/** Problems that are told one by one. */
const MAX_PROBLEMS = 100;

/** Collects what a verification finds. */
export class Findings {
  readonly problems: VerifyProblem[] = [];
  /** Problems beyond those. */
  more = 0;
  /** What could not be looked at, and why: no problem by itself. */
  readonly notes: string[] = [];
  readonly counts: VerifyCounts = {
    records: 0,
    updates: 0,
    replayed: 0,
    frames: 0,
    namespaces: 0,
    entries: 0,
    resident: 0,
    snapshots: 0,
    compared: 0,
  };
  readonly signal: AbortSignal | undefined;
  readonly #slice: TimeSlice;
  readonly #onProgress: (progress: VerifyProgress) => void;

  constructor(clock: Clock, signal?: AbortSignal, onProgress: (progress: VerifyProgress) => void = () => {}) {
    this.signal = signal;
    this.#slice = new TimeSlice(clock, signal);
    this.#onProgress = onProgress;
  }

  add(kind: VerifyProblemKind, where: VerifyLocation, message: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ kind, where, message });
    else this.more += 1;
  }

  /** As {@link add}, where something was found by that reading it failed. What is no finding is thrown on. */
  addError(kind: VerifyProblemKind, where: VerifyLocation, thrown: unknown): void {
    this.signal?.throwIfAborted();
    const error = toError(thrown);
    if (error instanceof ContextCacheError && !FOUND.has(error.code)) throw error;
    // What is to be done about a damaged directory is not said again with each of its records.
    this.add(kind, where, error.message.replace(/\. Nothing was changed\. .*$/, '.'));
  }

  /** Told now and then; gives others a turn. */
  async step(stage: VerifyProgress['stage'], done: number): Promise<void> {
    if (!this.#slice.over) return;
    this.#onProgress({ stage, done });
    await this.#slice.pause();
  }

  /** Ends a step of a synchronous piece of work where it is time to. */
  get slice(): TimeSlice {
    return this.#slice;
  }
}

/** Codes of errors that tell of what is stored, rather than of why it cannot be read from here. */
const FOUND: ReadonlySet<string> = new Set(['LOG_CORRUPT', 'INVARIANT', 'SNAPSHOT_CORRUPT', 'FORMAT_UNSUPPORTED']);
