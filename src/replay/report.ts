import type { ReplayProblem, ReplayProblemKind } from './problem.ts';

/** What a replay has done, and what of the source it has not used. */
export interface ReplayReport {
  /** Position of the replayed cache's last update. */
  readonly position: number;
  /** What the source calls that position; another number only where `renumberedFrom` says so. */
  readonly recordedPosition: number;
  /** Updates taken over. */
  readonly updates: number;
  /** Namespaces there are now. */
  readonly namespaces: number;
  /** Messages of a topic that had come before, which is normal; left out. */
  readonly repeated: number;
  /** With repair: what was wrong, by kind. Without: empty, or there would be no report. */
  readonly problems: Readonly<Partial<Record<ReplayProblemKind, number>>>;
  /** The first 100 problems, in the order of the source. */
  readonly firstProblems: readonly ReplayProblem[];
  /** With repair: records that were left out. */
  readonly dropped: number;
  /** With repair: positions that the source does not have although it has later ones. */
  readonly missing: number;
  /** With repair: updates put in because their absence would have left wrong values: drops that are missing. */
  readonly inserted: number;
  /** With repair: the first recorded position whose update has another position or version now. */
  readonly renumberedFrom: number | undefined;
}

const FIRST_PROBLEMS = 100;

/** Counts while a replay runs. */
export class ReportBuilder {
  updates = 0;
  repeated = 0;
  dropped = 0;
  missing = 0;
  inserted = 0;
  renumberedFrom: number | undefined;
  readonly #problems: Partial<Record<ReplayProblemKind, number>> = {};
  readonly #first: ReplayProblem[] = [];

  add(problem: ReplayProblem): void {
    this.#problems[problem.kind] = (this.#problems[problem.kind] ?? 0) + 1;
    if (this.#first.length < FIRST_PROBLEMS) this.#first.push(problem);
  }

  finish(position: number, recordedPosition: number, namespaces: number): ReplayReport {
    const { updates, repeated, dropped, missing, inserted, renumberedFrom } = this;
    return {
      ...{ position, recordedPosition, updates, namespaces, repeated },
      ...{ problems: this.#problems, firstProblems: this.#first, dropped, missing, inserted, renumberedFrom },
    };
  }
}
