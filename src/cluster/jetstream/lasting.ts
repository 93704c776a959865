/**
 * Milliseconds for which an answer about the stream must stay the same before it is believed. A new leader, or a replica that catches
 * up, lacks messages for a moment.
 */
export const CERTAIN_AFTER_MS = 3_000;
/** Milliseconds between two answers, beyond which the first one no longer counts. */
const LONGEST_SILENCE_MS = 1_500;

/** An answer that is asked for again and again, and believed once it has stayed the same for {@link CERTAIN_AFTER_MS}. */
export class Lasting<Answer> {
  #answer: Answer | undefined;
  #since = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** The latest answer. */
  get answer(): Answer | undefined {
    return this.#answer;
  }

  /** Notes an answer. Returns `true` if it has been the same for long enough, without a long silence between two answers. */
  note(answer: Answer, now: number): boolean {
    // Two equal answers with silence between them may come from two leaders that were both just elected.
    if (answer !== this.#answer || now - this.#at > LONGEST_SILENCE_MS) this.#since = now;
    this.#answer = answer;
    this.#at = now;
    return now - this.#since >= CERTAIN_AFTER_MS;
  }
}
