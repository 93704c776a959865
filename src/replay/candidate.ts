import type { PendingUpdate } from '../core/update.ts';
import type { ReplayProblem } from './problem.ts';

/** A record as a source has read it, before it is checked against the record before it. */
export type Candidate = ReadUpdate | Unusable;

/** A record that is an update. */
export interface ReadUpdate {
  /** Line of the file, or item of the source, from 1; 0 if the source has none. */
  readonly line: number;
  /** The update with its recorded position and version, both 0 if the record has none. `replaced` is not known yet. */
  readonly update: PendingUpdate;
  /** Id of the log that the record names; `null` if it names none. */
  readonly log: string | null;
  /** `true` for a message of a `set` that had to leave out the value. */
  readonly valueMissing: boolean;
  /** Number of messages of the clear that this message is a part of; absent for any other record. */
  readonly clearKeys?: number | undefined;
}

/** A record that cannot be used. */
export interface Unusable {
  readonly problem: ReplayProblem;
}

/** Records in the order of the source, and the part of the source that they reach. */
export interface CandidateBatch {
  readonly candidates: readonly Candidate[];
  /** Part of the source that has been read, from 0 to 1; `undefined` if it is not known. */
  readonly fraction: number | undefined;
}

/** Returns an update that names no log and has its value. */
export function plain(line: number, update: PendingUpdate): ReadUpdate {
  return { line, update, log: null, valueMissing: false };
}
