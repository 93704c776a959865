import type { Progress } from './records/progress.ts';

/** The log that an index must fit. */
export interface FittedLog {
  /** Folder of the log and the index. */
  readonly path: string;
  /** Id of the log; `undefined` if it cannot be read. */
  readonly log: string | undefined;
  /** Position of the base file; 0 without one. */
  readonly base: number;
  /** Last position of the log. */
  readonly head: number;
  /** `false` if an external primary keeps the values; `undefined` if that is not known. */
  readonly keepsValues: boolean | undefined;
  /** Returns the checksum of the update at a position behind the base. */
  checksumAt(position: number): number | undefined;
}

/** Reason why an index does not fit its log. */
export interface Misfit {
  /** `true` if the index proves that the log has lost updates. Otherwise the index is rebuilt. */
  readonly isAhead: boolean;
  readonly reason: string;
}

/** Returns the reason why an index does not fit a log; `undefined` if it does. Throws what `checksumAt` throws. */
export function misfitOf(progress: Progress, fitted: FittedLog): Misfit | undefined {
  const { path, log, base, head, keepsValues } = fitted;
  const { adopting, checkpoint, fingerprint, trimmed } = progress;
  if (log !== undefined && progress.log !== log) return rebuilt('it belongs to another log');
  if (adopting) return rebuilt('it is incomplete');
  if (checkpoint > head) {
    const reason =
      `The log in ${path} ends at position ${head}, but its index has ${checkpoint}: updates were lost. ` +
      `Restore a backup, or delete ${path}/index to go on with what the log has.`;
    return { isAhead: true, reason };
  }
  if (keepsValues !== undefined && keepsValues !== progress.keepsValues) {
    return rebuilt('it was written with another kind of primary');
  }
  if (trimmed < base) return rebuilt(`it refers to updates before position ${base}, which were released`);
  if (checkpoint < base) return rebuilt(`it ends at position ${checkpoint}, before the base file`);
  if (checkpoint === base || fitted.checksumAt(checkpoint) === fingerprint) return undefined;
  return rebuilt(`it differs from the log at position ${checkpoint}`);
}

function rebuilt(reason: string): Misfit {
  return { isAhead: false, reason };
}
