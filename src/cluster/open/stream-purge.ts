import { backOffMs } from '../../core/back-off.ts';
import { type Clock, elapsedBy } from '../../core/clock.ts';
import { toError } from '../../core/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import type { CommandStream } from '../command-stream.ts';
import type { ClusterNode } from '../node.ts';

/** Milliseconds before a purge that has failed is tried again. Doubles with each further failure. */
const RETRY_MS = 1_000;
/** Longest pause between two attempts in milliseconds. A missing permission costs two requests in this time. */
const LONGEST_RETRY_MS = 300_000;

/** The parts of a {@link StreamPurge}. */
export interface StreamPurgeDeps {
  readonly node: Pick<ClusterNode, 'info'>;
  readonly parts: Pick<Engine, 'backup' | 'report'>;
  readonly stream: Pick<CommandStream, 'purge'>;
  readonly clock: Clock;
  /** Returns whether this node takes the snapshots. */
  readonly isHolder: () => boolean;
}

/** Discards the messages of the stream that the snapshots hold, after each new snapshot. */
export class StreamPurge {
  readonly #deps: StreamPurgeDeps;
  /** Id of the last snapshot after which the stream was purged. */
  #purgedAfter: string | undefined;
  #isRunning = false;
  #failures = 0;
  /** Elapsed time of the clock before which a purge that has failed is not tried again. */
  #notBefore = 0;
  #problem: Error | undefined;

  constructor(deps: StreamPurgeDeps) {
    this.#deps = deps;
  }

  /** Why the last purge failed; `undefined` if it did not. */
  get problem(): Error | undefined {
    return this.#problem;
  }

  /** Purges the stream if there is a new snapshot. Tries again, with growing pauses, and reports each failure once. */
  look(): void {
    const last = this.#deps.parts.backup?.status().lastSnapshot;
    if (last === undefined || last.id === this.#purgedAfter || this.#isRunning) return;
    if (this.#elapsed() < this.#notBefore) return;
    this.#isRunning = true;
    this.#purge()
      .then(
        () => {
          this.#purgedAfter = last.id;
          this.#failures = 0;
          this.#problem = undefined;
        },
        (thrown) => this.#failed(toError(thrown)),
      )
      .finally(() => {
        this.#isRunning = false;
      });
  }

  /** Discards what the second newest whole snapshot holds: if the newest fails to load, a node joins from that one. */
  async #purge(): Promise<void> {
    const { node, parts, stream, isHolder } = this.#deps;
    const snapshots = (await parts.backup?.list()) ?? [];
    const whole = snapshots.filter(({ whole, log }) => whole && log === node.info?.epoch);
    const sequences = whole.flatMap(({ sequence }) => (sequence === undefined ? [] : [sequence]));
    const [, second] = sequences.sort((a, b) => b - a);
    if (second !== undefined && second > 0 && isHolder()) await stream.purge(second);
  }

  #failed(error: Error): void {
    // After a shutdown the store is closed, and after the loss of the lease the purge is the work of another node.
    if (!this.#deps.isHolder()) return;
    this.#failures += 1;
    this.#notBefore = this.#elapsed() + backOffMs(this.#failures, RETRY_MS, LONGEST_RETRY_MS);
    const isKnown = error.message === this.#problem?.message;
    this.#problem = error;
    if (!isKnown) this.#deps.parts.report(error, { source: 'cluster' });
  }

  #elapsed(): number {
    return elapsedBy(this.#deps.clock);
  }
}
