import type { Findings } from '../verify-findings.ts';
import type { StoredVerdict } from './verify-stored.ts';

/** Verification of stored data, and the repair of its index. */
export interface Repairable {
  /** Verifies the stored data once. */
  verify(findings: Findings): Promise<StoredVerdict>;
  /** Rebuilds the index from base and log, which are whole. */
  rebuild(verdict: StoredVerdict): Promise<void>;
}

/** The verdict on stored data, and the findings that belong to it. */
export interface Verified {
  readonly verdict: StoredVerdict;
  readonly findings: Findings;
}

/** Verifies stored data. With `repair`, rebuilds an index that is wrong or missing and verifies once more. */
export async function verifyAndRepair(stored: Repairable, repair: boolean, findings: Findings): Promise<Verified> {
  const verdict = await stored.verify(findings);
  const isWrong = verdict.index === 'wrong' || verdict.index === 'absent';
  if (!repair || !verdict.isWhole || !isWrong) return { verdict, findings };
  await stored.rebuild(verdict);
  const again = findings.afterRepair(verdict.reason);
  return { verdict: await stored.verify(again), findings: again };
}
