import type { Msg, NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { permissionViolation } from '../../followers/broadcast/topic-route.ts';
import type { StreamMessage } from '../command-stream.ts';
import { MAX_BYTES_REACHED } from './error-codes.ts';
import type { StreamNames } from './stream-names.ts';

/** Receives what the stream's leader repeats. */
export type Hear = (message: StreamMessage) => void;

/** The answer to a read of stored messages. */
export interface Page {
  /** Number of messages that were handed over. */
  readonly count: number;
  /** `false` if the server answers with one message only, as it does before 2.11. */
  readonly isBatch: boolean;
}

/** A message that was published and is not acknowledged. */
interface Published {
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: Error) => void;
  readonly sentAt: number;
}

/** Takes an answer. Returns `true` if more answers are expected on the subject. */
type TakeAnswer = (answer: Msg | Error) => boolean;

/** Most messages and bytes of one read. */
const BATCH = { messages: 512, bytes: 4 * 1024 * 1024 };
const NO_RESPONDERS = 503;
const END_OF_BATCH = 204;

/**
 * One connection to one server of the stream, from opening to its end. It does not recover; a link that is down is replaced. It has
 * one subscription to the repeated messages and one for all answers.
 */
export class StreamLink {
  /** `host:port` of the server. */
  readonly server: string;
  readonly #connection: NatsConnection;
  readonly #names: StreamNames;
  readonly #inbox: string;
  readonly #elapsed: () => number;
  readonly #down = new AbortController();
  readonly #published = new Map<string, Published>();
  readonly #answers = new Map<string, { readonly to: string; readonly take: TakeAnswer }>();
  #count = 0;
  /** Instant of the last message or acknowledgement, by `elapsed`. */
  heardAt: number;

  constructor(connection: NatsConnection, names: StreamNames, inbox: string, hear: Hear, elapsed: () => number) {
    this.server = connection.getServer();
    this.#connection = connection;
    this.#names = names;
    this.#inbox = inbox;
    this.#elapsed = elapsed;
    this.heardAt = elapsed();
    connection.subscribe(`${inbox}.*`, {
      callback: (error, msg) => {
        if (error === null) this.#answered(msg);
        else this.#fail(forbidden(error as PermissionViolationError, names));
      },
    });
    connection.subscribe(names.repeated, {
      callback: (error, msg) => {
        if (error !== null) {
          this.#fail(forbidden(error as PermissionViolationError, names));
          return;
        }
        const message = storedMessage(msg);
        if (message === undefined) return;
        this.heardAt = elapsed();
        hear(message);
      },
    });
    void this.#watchEnd();
    void this.#watchStatus();
  }

  /** Aborts with the cause once the connection is unusable. */
  get down(): AbortSignal {
    return this.#down.signal;
  }

  /** Greatest size of a message in bytes, as the server says. */
  get maxPayload(): number {
    return this.#connection.info?.max_payload ?? 1024 * 1024;
  }

  get serverVersion(): string | undefined {
    return this.#connection.info?.version;
  }

  /**
   * Publishes a command message. Resolves with its sequence. Rejects with `LOG_UNAVAILABLE` if the stream refused it, and with
   * `OUTCOME_UNKNOWN` if the link ends first.
   */
  publish(message: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const reply = this.#nextReply();
      this.#published.set(reply, { resolve, reject, sentAt: this.#elapsed() });
      this.#connection.publish(this.#names.commands, message, { reply });
    });
  }

  /** Rejects, with `OUTCOME_UNKNOWN`, what was published more than `ms` ago. Returns the number of those messages. */
  expire(ms: number): number {
    let count = 0;
    for (const [reply, { sentAt, reject }] of this.#published) {
      if (this.#elapsed() - sentAt < ms) break;
      this.#published.delete(reply);
      reject(unknown(`The stream did not acknowledge a message within ${ms} ms.`));
      count += 1;
    }
    return count;
  }

  /** Sends a request and resolves with its answer. Has no deadline of its own but the end of the link. */
  request(subject: string, payload: string): Promise<Msg> {
    return new Promise((resolve, reject) => {
      this.#ask(subject, payload, (answer) => {
        if (answer instanceof Error) reject(answer);
        else if (isNoResponders(answer)) reject(noLeader(this.#names));
        else resolve(answer);
        return false;
      });
    });
  }

  /**
   * Reads stored messages from `first` on: a batch from nats-server 2.11 on, otherwise the next one. Hands them over in order.
   * Resolves when the answer is complete; rejects when the link ends. The caller sets the deadline.
   */
  read(first: number, take: Hear): Promise<Page> {
    const { messages: batch, bytes: max_bytes } = BATCH;
    const payload = JSON.stringify({ seq: first, next_by_subj: this.#names.commands, batch, max_bytes });
    return new Promise((resolve, reject) => {
      let count = 0;
      this.#ask(this.#names.get, payload, (answer) => {
        if (answer instanceof Error) {
          reject(answer);
          return false;
        }
        const message = storedMessage(answer);
        if (message === undefined) {
          resolve({ count, isBatch: count > 1 || answer.headers?.code === END_OF_BATCH });
          return false;
        }
        count += 1;
        take(message);
        if (answer.headers?.has('Nats-Num-Pending') === true) return true;
        resolve({ count, isBatch: false });
        return false;
      });
    });
  }

  /** Reads the message with this sequence. Resolves with `undefined` if the server that answers does not have it. */
  async readOne(sequence: number): Promise<StreamMessage | undefined> {
    const answer = await this.request(this.#names.get, JSON.stringify({ seq: sequence }));
    const message = storedMessage(answer);
    return message?.sequence === sequence ? message : undefined;
  }

  /** Resolves when the server has answered. */
  ping(): Promise<void> {
    return this.#connection.flush();
  }

  /** Ends the link. Never rejects. */
  async close(cause: Error): Promise<void> {
    this.#fail(cause);
    try {
      await this.#connection.close();
    } catch {
      // The connection was ending by itself.
    }
  }

  #nextReply(): string {
    this.#count += 1;
    return `${this.#inbox}.${this.#count}`;
  }

  #ask(subject: string, payload: string, take: TakeAnswer): void {
    if (this.down.aborted) {
      take(toError(this.down.reason));
      return;
    }
    const reply = this.#nextReply();
    this.#answers.set(reply, { to: subject, take });
    this.#connection.publish(subject, payload, { reply });
  }

  #answered(msg: Msg): void {
    const published = this.#published.get(msg.subject);
    if (published !== undefined) {
      this.#published.delete(msg.subject);
      this.heardAt = this.#elapsed();
      this.#acknowledged(msg, published);
      return;
    }
    const answer = this.#answers.get(msg.subject);
    if (answer === undefined || answer.take(msg)) return;
    this.#answers.delete(msg.subject);
  }

  #acknowledged(msg: Msg, { resolve, reject }: Published): void {
    const answer = readAnswer(msg);
    if (isNoResponders(msg)) reject(noLeader(this.#names));
    else if (answer?.error !== undefined) reject(refusal(this.#names, answer.error));
    else if (answer?.stream === this.#names.stream && typeof answer.seq === 'number') resolve(answer.seq);
    else reject(unknown(`The acknowledgement of a message is not one of the stream ${this.#names.stream}.`));
  }

  #fail(cause: Error): void {
    if (this.down.aborted) return;
    this.#down.abort(cause);
    for (const { reject } of this.#published.values()) {
      reject(unknown('The connection to the stream ended before a message was acknowledged.', cause));
    }
    this.#published.clear();
    for (const { take } of this.#answers.values()) take(cause);
    this.#answers.clear();
  }

  async #watchEnd(): Promise<void> {
    const cause = await this.#connection.closed();
    const message = `The connection to NATS at ${this.server} was lost. It is made again.`;
    this.#fail(new ContextCacheError('UNREACHABLE', message, cause instanceof Error ? { cause } : undefined));
  }

  /** Detects a refused publish, which only the status reports. The iterator ends with the connection. */
  async #watchStatus(): Promise<void> {
    for await (const status of this.#connection.status()) {
      const violation = status.type === 'error' ? permissionViolation(status.error) : undefined;
      if (violation === undefined) continue;
      const error = forbidden(violation, this.#names);
      if (violation.operation !== 'publish') this.#fail(error);
      else this.#refused(violation.subject, error);
    }
  }

  #refused(subject: string, error: ContextCacheError): void {
    for (const [reply, { to, take }] of this.#answers) {
      if (to !== subject) continue;
      this.#answers.delete(reply);
      take(error);
    }
    if (subject !== this.#names.commands) return;
    for (const { reject } of this.#published.values()) {
      reject(new ContextCacheError('LOG_UNAVAILABLE', `${error.message} Nothing was stored.`, { cause: error }));
    }
    this.#published.clear();
  }
}

interface Answer {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly error?: { readonly description?: string; readonly err_code?: number };
}

function readAnswer(msg: Msg): Answer | undefined {
  try {
    const answer: Answer | null = msg.json();
    return typeof answer === 'object' && answer !== null ? answer : undefined;
  } catch {
    return undefined;
  }
}

function isNoResponders(msg: Msg): boolean {
  return msg.data.length === 0 && msg.headers?.code === NO_RESPONDERS;
}

/** Reads the headers that a server adds to a stored message. Returns `undefined` for any other answer. */
function storedMessage(msg: Msg): StreamMessage | undefined {
  const { headers } = msg;
  const sequence = Number(headers?.get('Nats-Sequence'));
  const at = Date.parse(headers?.get('Nats-Time-Stamp') ?? '');
  return Number.isSafeInteger(sequence) && sequence > 0 && !Number.isNaN(at)
    ? { sequence, at, data: msg.data }
    : undefined;
}

function refusal({ stream }: StreamNames, error: NonNullable<Answer['error']>): ContextCacheError {
  const { description = 'it gave no reason', err_code: code } = error;
  const remedy = code === MAX_BYTES_REACHED ? ' Purge it up to a snapshot, or raise its max_bytes.' : '';
  const message = `The stream ${stream} refused a message: ${description}.${remedy}`;
  const cause = new ContextCacheError('BACKEND_FAILED', message);
  return new ContextCacheError('LOG_UNAVAILABLE', `${message} Nothing was stored.`, { cause });
}

/** Returns the error for a stream that nothing answers for. */
export function noLeader({ stream }: StreamNames): ContextCacheError {
  const message = `The stream ${stream} has no leader at present, or does not exist. Nothing was stored. Check that most of its servers run and see each other.`;
  return new ContextCacheError('LOG_UNAVAILABLE', message);
}

function unknown(message: string, cause?: Error): ContextCacheError {
  return new ContextCacheError('OUTCOME_UNKNOWN', `${message} Whether it was stored is unknown.`, { cause });
}

/** Returns the error for an operation that the permissions of the user refuse. */
export function forbidden(violation: PermissionViolationError, { repeated }: StreamNames): ContextCacheError {
  const { operation, subject } = violation;
  const isOfAnswers = operation === 'subscription' && subject !== repeated;
  const refused = operation === 'publish' ? 'publish' : 'subscribe';
  const other = isOfAnswers
    ? 'give the prefix of answers that they allow (inboxPrefix, --cluster-inbox)'
    : 'use another user';
  const message = `NATS does not let this user ${refused} to ${subject}, which the cluster needs. Allow it in the permissions of the servers, or ${other}.`;
  return new ContextCacheError('BACKEND_FAILED', message, { cause: violation });
}
