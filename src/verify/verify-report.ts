import type { BaseContextCache } from '../backends/base-context-cache.ts';
import { type NamesOf, optionNames } from '../core/options.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { Findings, VerifyCounts, VerifyProblem, VerifyProgress } from './verify-findings.ts';

/** What is verified besides the cache itself. */
export interface VerifyOptions {
  /**
   * A mirror or a backup that is compared with the cache: the URL of a Redis that holds either or both, a directory of
   * snapshots, a backend, or a store of snapshots. A backend or store of your own is not closed.
   */
  readonly against?: string | BaseContextCache | SnapshotStore | undefined;
  /** Ends it; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told every few milliseconds what is looked at. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export const VERIFY_NAMES = { against: true, signal: true, onProgress: true } as const satisfies NamesOf<VerifyOptions>;

export const VERIFY_OPTIONS = optionNames<VerifyOptions>('verify', VERIFY_NAMES);

/** What a verification has found. */
export interface VerifyReport {
  /** Whether everything that could be looked at is as it should be. */
  readonly ok: boolean;
  /** What is stored was verified as of this position. */
  readonly position: number;
  /** The digest of all namespaces there, worked out anew. */
  readonly digest: string;
  /** How much was looked at. */
  readonly checked: Readonly<VerifyCounts>;
  /** The first 100 problems. */
  readonly problems: readonly VerifyProblem[];
  /** How many more there are. */
  readonly moreProblems: number;
  /** What could not be looked at and why, and how far a mirror lags: no problems by themselves. */
  readonly notes: readonly string[];
}

/** The report of what was found. */
export function reportOf(findings: Findings, position: number, digest: string): VerifyReport {
  const { problems, more, notes, counts } = findings;
  return { ok: problems.length === 0, position, digest, checked: counts, problems, moreProblems: more, notes };
}
