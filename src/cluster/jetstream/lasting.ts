import { type Clock, elapsedBy } from '../../core/clock.ts';

/**
 * Milliseconds for which an answer about the stream must stay the same before it is believed. A new leader, or a replica that catches
 * up, lacks messages for a moment.
 */
export const CERTAIN_AFTER_MS = 3_000;
/** Milliseconds between two answers, beyond which the first one no longer counts. */
const LONGEST_SILENCE_MS = 1_500;

/** Milliseconds between two questions of {@link lastingAnswer}. */
const PAUSE_MS = 500;
/** Milliseconds after which {@link lastingAnswer} gives up. */
const LONGEST_MS = 20_000;

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

/**
 * Asks until the answer has stayed the same for {@link CERTAIN_AFTER_MS}, for 20 s at most. Resolves with the latest answer, and
 * whether it is certain. `keyOf` returns the same text for answers that count as the same.
 */
export async function lastingAnswer<Answer>(
  ask: () => Promise<Answer>,
  keyOf: (answer: Answer) => string,
  clock: Clock,
): Promise<{ readonly answer: Answer; readonly isCertain: boolean }> {
  const lasting = new Lasting<string>();
  const until = elapsedBy(clock) + LONGEST_MS;
  for (;;) {
    const answer = await ask();
    const now = elapsedBy(clock);
    if (lasting.note(keyOf(answer), now)) return { answer, isCertain: true };
    if (now >= until) return { answer, isCertain: false };
    await new Promise<void>((resolve) => clock.setTimeout(resolve, PAUSE_MS));
  }
}
