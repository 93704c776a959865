import type { CommandStream, Following, StreamInfo } from '../../../src/cluster/command-stream.ts';
import { ContextCacheError } from '../../../src/core/errors.ts';

/** Probabilities, 0 to 1, of what happens to a message that a node publishes. */
export interface Disturbance {
  /** The message is lost on its way. */
  readonly lost: number;
  /** The message is stored and its acknowledgement lost. */
  readonly unanswered: number;
  /** The message is sent a second time, some time later. */
  readonly repeated: number;
}

/** A stream that loses and repeats messages of its node, and that can crash with it. */
export class DisturbedStream implements CommandStream {
  readonly #stream: CommandStream;
  readonly #disturbance: Disturbance;
  readonly #followings = new Set<Following>();
  readonly #late = new Set<NodeJS.Timeout>();
  #hasCrashed = false;
  readonly count = { lost: 0, unanswered: 0, repeated: 0 };

  constructor(stream: CommandStream, disturbance: Disturbance) {
    this.#stream = stream;
    this.#disturbance = disturbance;
  }

  get connected(): boolean {
    return !this.#hasCrashed && this.#stream.connected;
  }

  get onProblem() {
    return this.#stream.onProblem;
  }

  set onProblem(listener: CommandStream['onProblem']) {
    this.#stream.onProblem = listener;
  }

  get problem() {
    return this.#stream.problem;
  }

  /** Ends the node as a kill of its process does: nothing is sent or received any more, and its clients get no answer. */
  async crash(): Promise<void> {
    this.#hasCrashed = true;
    await this.close();
  }

  async publish(message: Uint8Array): Promise<number> {
    if (this.#hasCrashed) return new Promise(() => {});
    const { lost, unanswered, repeated } = this.#disturbance;
    const fate = Math.random();
    if (fate < lost) {
      this.count.lost += 1;
      throw unknown();
    }
    const sequence = await this.#stream.publish(message);
    if (fate < lost + unanswered) {
      this.count.unanswered += 1;
      throw unknown();
    }
    if (fate < lost + unanswered + repeated) {
      this.count.repeated += 1;
      const timer = setTimeout(() => {
        this.#late.delete(timer);
        this.#stream.publish(message).catch(() => {});
      }, Math.random() * 400);
      this.#late.add(timer);
    }
    return this.#hasCrashed ? new Promise(() => {}) : sequence;
  }

  follow(...given: Parameters<CommandStream['follow']>): Following {
    const following = this.#stream.follow(...given);
    this.#followings.add(following);
    return following;
  }

  info(): Promise<StreamInfo> {
    return this.#stream.info();
  }

  purge(upTo: number): Promise<void> {
    return this.#stream.purge(upTo);
  }

  async close(): Promise<void> {
    for (const following of this.#followings) following.stop();
    for (const timer of this.#late) clearTimeout(timer);
    await this.#stream.close();
  }
}

function unknown(): ContextCacheError {
  return new ContextCacheError('OUTCOME_UNKNOWN', 'A test has lost the message or its acknowledgement.');
}
