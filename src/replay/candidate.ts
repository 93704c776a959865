import type { PendingUpdate } from '../core/update.ts';
import type { ReplayProblem } from './problem.ts';

/** What a source has read as one record, before anybody has looked whether it follows the one before. */
export type Candidate = ReadUpdate | Unusable;

/** A record that is an update. */
export interface ReadUpdate {
  /** The line of a file and the like, from 1; 0 where there are none. */
  readonly line: number;
  /** With the recorded position and version; both 0 where the record has none. `replaced` is not known yet. */
  readonly update: PendingUpdate;
  /** Id of the log that the record says it is of; `null` where it says nothing. */
  readonly log: string | null;
  /** A message that had to leave the value of its `set` out. */
  readonly valueMissing: boolean;
}

/** A record that nothing can be made of. */
export interface Unusable {
  readonly problem: ReplayProblem;
}

/** Some records in the order of the source, and how far they reach into it. */
export interface CandidateBatch {
  readonly candidates: readonly Candidate[];
  /** How much of the source has been read, from 0 to 1; `undefined` where that is not known. */
  readonly fraction: number | undefined;
}

/** An update without anything special. */
export function plain(line: number, update: PendingUpdate): ReadUpdate {
  return { line, update, log: null, valueMissing: false };
}
