import { ContextCacheError } from '../core/errors.ts';

/**
 * What can be wrong with a record of a log:
 * - `unreadable`: no update can be made of it;
 * - `format`: written by a newer version;
 * - `duplicate`: its position has been before;
 * - `gap`: positions before it are missing;
 * - `version`: it is not its namespace's next update;
 * - `foreign`: it belongs to another log;
 * - `value-missing`: a message that was too large for its topic and came without its value.
 */
export type ReplayProblemKind = 'unreadable' | 'format' | 'duplicate' | 'gap' | 'version' | 'foreign' | 'value-missing';

/** Something that is wrong with a source, and where. */
export interface ReplayProblem {
  readonly kind: ReplayProblemKind;
  /** The line of a file, the item of an iterable, the sequence number of a stream; from 1. Absent for a directory. */
  readonly line?: number;
  /** The recorded position; of a gap the first one that is missing. Absent where it is not known. */
  readonly position?: number;
  /** A sentence for people. Holds no key and no value. */
  readonly reason: string;
}

/** A source that is not whole, and was not asked to be repaired. Nothing has been applied. */
export class ReplayRefusedError extends ContextCacheError {
  readonly problem: ReplayProblem;

  constructor(problem: ReplayProblem, options?: ErrorOptions) {
    const where = [
      ...(problem.line === undefined ? [] : [`line ${problem.line}`]),
      ...(problem.position === undefined ? [] : [`position ${problem.position}`]),
    ];
    const place = where.length === 0 ? '' : `At ${where.join(', ')}: `;
    const remedy = 'Nothing was applied. Mend the log, or replay it with repair, which tells what it leaves out.';
    super(
      problem.kind === 'format' ? 'FORMAT_UNSUPPORTED' : 'LOG_CORRUPT',
      `${place}${problem.reason} ${remedy}`,
      options,
    );
    this.name = 'ReplayRefusedError';
    this.problem = problem;
  }
}
