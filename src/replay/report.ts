import type { ReplayProblem, ReplayProblemKind } from './problem.ts';

/** Result of a replay, including the part of the source that was not used. */
export interface ReplayReport {
  /** Position of the replayed cache's last update. */
  readonly position: number;
  /** The same position as the source numbers it. Differs only if `renumberedFrom` is set. */
  readonly recordedPosition: number;
  /** Number of replayed updates. */
  readonly updates: number;
  /** Number of namespaces at the end. */
  readonly namespaces: number;
  /** Messages of a topic that occurred before and were left out, which is normal. */
  readonly repeated: number;
  /** With repair: number of problems by kind. Empty without repair, which refuses the first problem. */
  readonly problems: Readonly<Partial<Record<ReplayProblemKind, number>>>;
  /** The first 100 problems, in the order of the source. */
  readonly firstProblems: readonly ReplayProblem[];
  /** With repair: number of records left out. */
  readonly dropped: number;
  /** With repair: number of positions that the source lacks although it has later ones. */
  readonly missing: number;
  /** With repair: number of inserted updates. They are missing drops, without which old values would remain. */
  readonly inserted: number;
  /** With repair: the first recorded position whose update has another position or version now. */
  readonly renumberedFrom: number | undefined;
}

const FIRST_PROBLEMS = 100;

/** Counts during a replay. */
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
