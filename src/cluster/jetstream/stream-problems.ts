import { ContextCacheError, type ErrorCode } from '../../core/errors.ts';

/** Codes of errors that trying again does not mend: settings, permissions or versions have to be changed. */
const PERMANENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'BACKEND_FAILED',
  'NOT_FOUND',
  'FORMAT_UNSUPPORTED',
  'INVALID_OPTION',
]);

/** The uses of a stream that can fail for good, each for itself. */
export type StreamUse = 'connecting' | 'asking' | 'publishing';

/** The failures that last until the settings, permissions or versions of a stream are changed. */
export class StreamProblems {
  readonly #problems = new Map<StreamUse, ContextCacheError>();
  readonly #changed: (problem: ContextCacheError | undefined) => void;
  #reported: string | undefined;

  /** Calls `changed` with each new problem, and with `undefined` when the last one is solved. */
  constructor(changed: (problem: ContextCacheError | undefined) => void) {
    this.#changed = changed;
  }

  /** The oldest problem that is left. */
  get present(): ContextCacheError | undefined {
    for (const problem of this.#problems.values()) return problem;
    return undefined;
  }

  /** Notes a failure. Failures that pass by themselves are no problems. */
  failed(use: StreamUse, error: unknown): void {
    const problem = permanentOf(error);
    if (problem === undefined) return;
    this.#problems.set(use, problem);
    this.#report();
  }

  /** Notes a success, which ends the problem of this use. */
  worked(use: StreamUse): void {
    if (this.#problems.delete(use)) this.#report();
  }

  #report(): void {
    const { present } = this;
    if (present?.message === this.#reported) return;
    this.#reported = present?.message;
    this.#changed(present);
  }
}

/** Returns the error, or its cause, that does not pass by itself. */
function permanentOf(error: unknown): ContextCacheError | undefined {
  if (!(error instanceof ContextCacheError)) return undefined;
  return PERMANENT.has(error.code) ? error : permanentOf(error.cause);
}
