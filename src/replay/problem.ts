import { ContextCacheError } from '../core/errors.ts';

/**
 * Kind of a problem with a record of a log:
 * - `unreadable`: it cannot be read as an update;
 * - `format`: a newer version wrote it;
 * - `duplicate`: its position occurred before;
 * - `gap`: positions before it are missing;
 * - `version`: it is not the next update of its namespace;
 * - `foreign`: it belongs to another log;
 * - `value-missing`: a message that was too large for its topic and came without its value.
 */
export type ReplayProblemKind = 'unreadable' | 'format' | 'duplicate' | 'gap' | 'version' | 'foreign' | 'value-missing';

/** A problem with a source, and its location. */
export interface ReplayProblem {
  readonly kind: ReplayProblemKind;
  /**
   * The line of a file, the item of an iterable, or the sequence number of a stream, from 1. Absent for a directory.
   */
  readonly line?: number;
  /** The recorded position; for a gap the first missing one. Absent if it is not known. */
  readonly position?: number;
  /** A sentence for people. Contains no key and no value. */
  readonly reason: string;
}

/** A source with a problem was replayed without `repair`. Nothing has been applied. */
export class ReplayRefusedError extends ContextCacheError {
  readonly problem: ReplayProblem;

  constructor(problem: ReplayProblem, options?: ErrorOptions) {
    const where = [
      ...(problem.line === undefined ? [] : [`line ${problem.line}`]),
      ...(problem.position === undefined ? [] : [`position ${problem.position}`]),
    ];
    const location = where.length === 0 ? '' : `At ${where.join(', ')}: `;
    const remedy = 'Nothing was applied. Correct the log, or replay it with repair, which reports what it leaves out.';
    super(
      problem.kind === 'format' ? 'FORMAT_UNSUPPORTED' : 'LOG_CORRUPT',
      `${location}${problem.reason} ${remedy}`,
      options,
    );
    this.name = 'ReplayRefusedError';
    this.problem = problem;
  }
}
