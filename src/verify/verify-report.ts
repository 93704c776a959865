import type { BaseContextCache } from '../backends/base-context-cache.ts';
import { type NamesOf, optionNames } from '../core/options.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { Findings, VerifyCounts, VerifyProblem, VerifyProgress } from './verify-findings.ts';

/** Options of `verify`: what is verified besides the cache itself. */
export interface VerifyOptions {
  /**
   * A mirror or a backup that is compared with the cache: the URL of a Redis that holds either or both, a directory of
   * snapshots, a backend, or a snapshot store. A backend or store that you pass stays open. Default: none.
   */
  readonly against?: string | BaseContextCache | SnapshotStore | undefined;
  /**
   * `true` rebuilds an index that is wrong or missing if base and log are right, which it never changes. Default false.
   */
  readonly repair?: boolean | undefined;
  /** Cancels the verification, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called every few milliseconds with the present stage and its progress. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export const VERIFY_NAMES = {
  against: true,
  repair: true,
  signal: true,
  onProgress: true,
} as const satisfies NamesOf<VerifyOptions>;

export const VERIFY_OPTIONS = optionNames<VerifyOptions>('verify', VERIFY_NAMES);

/** Result of a verification. */
export interface VerifyReport {
  /** `true` if no problem was found in anything that could be checked. */
  readonly ok: boolean;
  /** Last position that was verified. */
  readonly position: number;
  /** Digest of all namespaces at that position, folded from base and log. */
  readonly digest: string;
  /** How much was checked. */
  readonly checked: Readonly<VerifyCounts>;
  /** The first 100 problems. */
  readonly problems: readonly VerifyProblem[];
  /** Number of further problems. */
  readonly moreProblems: number;
  /** Why the index was rebuilt, one text for each thing that was wrong with it. Empty unless `repair` has done so. */
  readonly repaired: readonly string[];
  /** Notes: what could not be checked and why, and how far a mirror lags. Not problems by themselves. */
  readonly notes: readonly string[];
}

/** Builds the report from the findings. */
export function reportOf(findings: Findings, position: number, digest: string): VerifyReport {
  const { problems, more: moreProblems, notes, counts: checked, repaired } = findings;
  return { ok: problems.length === 0, position, digest, checked, problems, moreProblems, repaired, notes };
}
