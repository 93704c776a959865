import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { ContextCacheError } from '../../core/errors.ts';

/**
 * Collects the acknowledgements of the streams that listen on topics, with one subscription for the connection and one
 * reply subject for each message. An answer of an ordinary subscriber is not taken for that of a stream.
 */
export class Acknowledgements {
  readonly #inbox: string;
  /** Reply subject → topic of each message that is not yet acknowledged. */
  readonly #missing = new Map<string, string>();
  #count = 0;
  /** Callers that wait until all are acknowledged. */
  #waiting: { resolve: () => void; reject: (reason: Error) => void }[] = [];
  #refusal: Error | undefined;

  /** @param inbox a subject of this object alone, on which answers may be received. */
  constructor(connection: NatsConnection, inbox: string) {
    this.#inbox = inbox;
    connection.subscribe(`${inbox}.*`, { callback: (error, msg) => this.#take(error, msg) });
  }

  /** Expects an acknowledgement for a message to `topic`. Returns the reply subject of the message. */
  expect(topic: string): string {
    this.#count += 1;
    const reply = `${this.#inbox}.${this.#count}`;
    this.#missing.set(reply, topic);
    return reply;
  }

  /** Resolves once all are acknowledged. Rejects as soon as a message is refused. */
  settled(): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    if (this.#missing.size === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(error: Error | null, msg: Msg): void {
    if (error !== null) {
      const message =
        'NATS does not let acknowledgements be received. Allow subscribing to the inbox, or set "inboxPrefix".';
      this.#refuse(new ContextCacheError('BACKEND_FAILED', message, { cause: error }));
      return;
    }
    const topic = this.#missing.get(msg.subject);
    if (topic === undefined) return;
    const answer = readAnswer(msg);
    if (answer === 'stored') {
      this.#missing.delete(msg.subject);
      if (this.#missing.size === 0) for (const { resolve } of this.#waiting.splice(0)) resolve();
    } else if (answer !== 'foreign') {
      this.#refuse(
        new ContextCacheError(
          'BACKEND_FAILED',
          `The stream on topic ${JSON.stringify(topic)} did not store a message: ${answer.refused}`,
        ),
      );
    }
  }

  #refuse(reason: Error): void {
    this.#refusal ??= reason;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#refusal);
  }
}

type Answer = 'stored' | 'foreign' | { readonly refused: string };

const NO_RESPONDERS = 503;

function readAnswer(msg: Msg): Answer {
  if (msg.data.length === 0 && msg.headers?.code === NO_RESPONDERS) {
    return { refused: 'it no longer exists. The next connection looks for streams again.' };
  }
  let answer: { stream?: unknown; seq?: unknown; error?: { description?: unknown } | null } | null;
  try {
    answer = msg.json();
  } catch {
    return 'foreign';
  }
  if (typeof answer !== 'object' || answer === null) return 'foreign';
  if (typeof answer.error?.description === 'string') {
    return { refused: `${answer.error.description}. Make room in the stream, or change its limits.` };
  }
  return typeof answer.stream === 'string' && typeof answer.seq === 'number' ? 'stored' : 'foreign';
}
