import {
  type Clock,
  ContextCacheError,
  type ErrorCode,
  type FollowerHealth,
  type ShutdownReport,
  systemClock,
} from '../index.ts';
import type { ApplySummary } from '../serve/apply-lines.ts';
import type { WireError } from '../wire/wire-error.ts';
import { EXIT } from './terminal/failure.ts';
import { shownAmount, shownCount } from './terminal/format.ts';
import type { Output } from './terminal/output.ts';
import { Progress } from './terminal/progress.ts';

/** Result of the command on a line, executed here or in the process that serves the directory. */
export interface LineOutcome {
  readonly line: number;
  readonly position: number;
  readonly error: WireError | undefined;
}

/** Options of {@link ApplyReport}. */
export interface ApplyReportOptions {
  readonly output: Output;
  readonly acknowledges: boolean;
  readonly keepGoing: boolean;
  /** Returns the share of the input that has been read, from 0 to 1; `undefined` if the size is not known. */
  readonly fraction?: () => number | undefined;
  readonly clock?: Clock;
}

/** Output of `apply`: acknowledgements and failures while it runs, a summary at the end. */
export class ApplyReport implements Disposable {
  readonly acknowledges: boolean;
  readonly keepGoing: boolean;
  /** Set when the reader of the acknowledgements is gone. */
  outputClosed = false;
  readonly #output: Output;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #progress: Progress;
  readonly #fraction: () => number | undefined;
  #firstFailure: WireError | undefined;
  #undelivered = false;

  constructor({ output, acknowledges, keepGoing, fraction, clock = systemClock }: ApplyReportOptions) {
    this.acknowledges = acknowledges;
    this.keepGoing = keepGoing;
    this.#output = output;
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#progress = new Progress(output, 'Applying', clock);
    this.#fraction = fraction ?? (() => undefined);
  }

  /** Writes outcomes, which come in the order of the lines. */
  async take(outcomes: readonly LineOutcome[]): Promise<void> {
    let acknowledgements = '';
    for (const { line, position, error } of outcomes) {
      if (error !== undefined) this.#fail(line, error);
      else if (this.acknowledges) acknowledgements += `{"line":${line},"position":${position}}\n`;
    }
    if (acknowledgements !== '') await this.#output.write(acknowledgements);
    this.#progress.count(outcomes.at(-1)?.line ?? 0, 'lines', this.#fraction());
  }

  /** Says which followers still have updates to deliver after the last command. */
  draining(followers: readonly FollowerHealth[]): void {
    const behind = followers.filter(({ name, lag }) => name !== 'index' && lag > 0);
    if (behind.length === 0) return;
    const names = behind.map(({ name, lag }) => `${name} (${shownAmount(lag, 'update')} to go)`);
    this.#progress.turnTo(`Waiting for ${names.join(', ')}; press Ctrl-C twice to leave them for later`);
  }

  /** Writes the summary. */
  async finish(summary: ApplySummary | undefined, undelivered: ShutdownReport['undelivered']): Promise<void> {
    this.#progress[Symbol.dispose]();
    const seconds = Math.max(0, this.#clock.now() - this.#startedAt) / 1_000;
    this.#undelivered = undelivered.length > 0;
    if (summary !== undefined) {
      if (this.#output.json && !this.acknowledges) await this.#output.writeJson({ ...summary, seconds, undelivered });
      this.#output.message(summaryText(summary, seconds));
    }
    if (this.outputClosed) this.#output.message('Stopped: the reader of the acknowledgements is gone.');
    for (const { follower, updates, lastError } of undelivered) {
      const why = lastError === undefined ? '' : ` Last error: ${lastError}`;
      const remedy = 'The log keeps them. When it is reachable again, run apply or serve with the same options.';
      const text = `The ${follower} did not deliver ${shownAmount(updates, 'update')} in time. ${remedy}${why}`;
      this.#output.error(new ContextCacheError('UNREACHABLE', text));
    }
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }

  exitCode(interrupted: boolean): number {
    if (this.#firstFailure !== undefined) {
      const conflict = !this.keepGoing && this.#firstFailure.code === 'VERSION_CONFLICT';
      return conflict ? EXIT.conflict : EXIT.failure;
    }
    if (this.#undelivered) return EXIT.unreachable;
    if (interrupted) return EXIT.interrupted;
    return this.outputClosed ? EXIT.failure : EXIT.ok;
  }

  #fail(line: number, error: WireError): void {
    this.#firstFailure ??= error;
    const { code, message } = error;
    this.#output.error(new ContextCacheError(code as ErrorCode, `Line ${line}: ${message}`), { line });
  }
}

function summaryText(summary: ApplySummary, seconds: number): string {
  const { lines, updates, unchanged, failed, position } = summary;
  const counts = `${shownAmount(updates, 'update')}, ${shownCount(unchanged)} unchanged, ${shownCount(failed)} failed`;
  return `${shownAmount(lines, 'line')}: ${counts}. The log is at position ${shownCount(position)}. ${seconds.toFixed(1)} s.`;
}
