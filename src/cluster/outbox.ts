import { ContextCacheError } from '../core/errors.ts';
import { Request } from '../core/request.ts';
import type { Command } from './machine/commands.ts';
import type { Outcome, OwnMessage } from './machine/machine.ts';
import { encodeMessage } from './machine/message-encoder.ts';
import { MAX_COMMANDS, MAX_MESSAGE_BYTES } from './machine/message-format.ts';
import { because } from './node-errors.ts';

/** Messages that may be on their way at once. */
const WINDOW = 8;

/** Milliseconds before a message that was refused or not acknowledged is sent again. */
const REFUSED_PAUSE_MS = 200;

/** Bytes of a message beside its commands. */
const HEADING_BYTES = 256;

/** A command that waits for its outcome. */
interface Waiting {
  readonly command: Command;
  readonly settle: (outcome: Outcome) => void;
  /** When it is given up, by the elapsed time of the clock. */
  readonly deadline: number;
  readonly isUrgent: boolean;
  isSettled: boolean;
  /** `true` once it is in a message. */
  isSent: boolean;
}

/** A message that was made and not applied yet. */
interface Flight extends OwnMessage {
  readonly counter: number;
  readonly waiting: readonly Waiting[];
  readonly firstSentAt: number;
  sentAt: number;
  sends: number;
  /** `true` if it was seen in the stream, applied or not. */
  isSeen: boolean;
}

/** The parts of a node that an {@link Outbox} uses. */
export interface OutboxDeps {
  readonly elapsed: () => number;
  readonly publish: (message: Uint8Array) => Promise<number>;
  /** Returns whether messages can be sent at present. */
  readonly isOpen: () => boolean;
  /** Returns the last message that this node has applied, and its hash there. */
  readonly seen: () => { readonly sequence: number; readonly hash: number };
  /** Called when a message has to be sent again, with a pause. */
  readonly again: (pauseMs: number) => void;
  /** Called when the stream proves to be an older one: it has stored a new message where this node has read another. */
  readonly rewound: (sequence: number) => void;
  /** Says why nothing is sent or applied at present; `undefined` if no reason is known. */
  readonly reason: () => string | undefined;
  readonly maxQueued: number;
  readonly writeTimeoutMs: number;
}

/**
 * The commands of a node on their way to the stream: gathered into messages, one at a time and a few in flight, sent again until
 * they are seen in the stream in their order. The number of a message makes it count once, however often it was sent.
 */
export class Outbox {
  /** Greatest size of a message that the servers take. */
  maxBytes = Number.POSITIVE_INFINITY;
  readonly #deps: OutboxDeps;
  #session: string;
  #counter = 0;
  #queue: Waiting[] = [];
  readonly #flights = new Map<number, Flight>();
  #unsettled = 0;

  constructor(session: string, deps: OutboxDeps) {
    this.#session = session;
    this.#deps = deps;
  }

  get session(): string {
    return this.#session;
  }

  /** Number of commands that wait for their outcome. */
  get size(): number {
    return this.#unsettled;
  }

  /** `true` if one of them changes data or settings. */
  get hasWrites(): boolean {
    const inFlight = Array.from(this.#flights.values(), ({ waiting }) => waiting).flat();
    return [...this.#queue, ...inFlight].some(({ command, isSettled }) => !isSettled && isWrite(command));
  }

  /** Adds a command. `isUrgent`: before those that wait and are not, whatever their number. Returns whether it is in a message yet. */
  add(command: Command, settle: (outcome: Outcome) => void, isUrgent = false): { readonly isSent: boolean } {
    if (!isUrgent && this.#unsettled >= this.#deps.maxQueued) {
      const message = `${this.#unsettled} commands already wait for the cluster. Nothing was done. Await some before sending more.`;
      settle(new ContextCacheError('OVERLOADED', message));
      return { isSent: true };
    }
    const deadline = this.#deps.elapsed() + this.#deps.writeTimeoutMs;
    this.#unsettled += 1;
    const waiting: Waiting = { command, settle, deadline, isUrgent, isSettled: false, isSent: false };
    // A session says hello first. Otherwise urgent commands keep their order: the return of a lease must not overtake its renewal.
    if (command.type === 'hello') this.#queue.unshift(waiting);
    else if (isUrgent) this.#queue.splice(this.#queue.findLastIndex((each) => each.isUrgent) + 1, 0, waiting);
    else this.#queue.push(waiting);
    return waiting;
  }

  /** Makes messages of what waits, as long as few are in flight. */
  flush(): void {
    if (!this.#deps.isOpen()) return;
    while (this.#queue.length > 0 && this.#flights.size < WINDOW) this.#send();
  }

  #send(): void {
    const { sequence, hash } = this.#deps.seen();
    const counter = this.#counter + 1;
    const heading = { session: this.#session, counter, seenSequence: sequence, seenHash: hash };
    const queued = this.#queue.slice(0, MAX_COMMANDS);
    const maxBytes = Math.min(MAX_MESSAGE_BYTES, this.maxBytes - HEADING_BYTES);
    const { bytes, next } = encodeMessage(
      heading,
      queued.map(({ command }) => command),
      { maxBytes },
    );
    const waiting = this.#queue.splice(0, next);
    for (const each of waiting) each.isSent = true;
    if (bytes.length > this.maxBytes) {
      for (const each of waiting) this.#settle(each, tooLarge(bytes.length, this.maxBytes));
      return;
    }
    this.#counter = counter;
    const now = this.#deps.elapsed();
    const flight: Flight = {
      ...{ counter, bytes, waiting, firstSentAt: now, sentAt: now, sends: 0, isSeen: false },
      commands: waiting.map(({ command }) => command),
      settle: (index, outcome) => this.#settle(waiting[index] as Waiting, outcome),
    };
    this.#flights.set(counter, flight);
    this.#publish(flight);
  }

  #publish(flight: Flight): void {
    const session = this.#session;
    flight.sentAt = this.#deps.elapsed();
    flight.sends += 1;
    const isFirst = flight.sends === 1;
    this.#deps.publish(flight.bytes).then(
      (sequence) => {
        if (session !== this.#session || !this.#flights.has(flight.counter) || flight.isSeen) return;
        // Sent once and not read yet, so it must lie behind everything that was read.
        if (isFirst && flight.sends === 1 && sequence <= this.#deps.seen().sequence) this.#deps.rewound(sequence);
      },
      () => {
        if (session !== this.#session || !this.#flights.has(flight.counter)) return;
        this.#deps.again(REFUSED_PAUSE_MS);
      },
    );
  }

  /** Sends everything in flight again, oldest first. */
  resend(): void {
    if (!this.#deps.isOpen()) return;
    for (const flight of this.#flights.values()) this.#publish(flight);
  }

  /** Returns the message with this number if it is in flight. */
  message(session: string, counter: number): OwnMessage | undefined {
    return session === this.#session ? this.#flights.get(counter) : undefined;
  }

  /** Notes that a message of this session was seen in the stream. Returns when it was sent first if it was applied. */
  seen(counter: number, isApplied: boolean): number | undefined {
    const flight = this.#flights.get(counter);
    if (flight === undefined) return undefined;
    flight.isSeen = true;
    if (!isApplied) return undefined;
    this.#flights.delete(counter);
    this.flush();
    return flight.firstSentAt;
  }

  /** Elapsed time at which the oldest message in flight was sent last; `undefined` if none is in flight. */
  get oldestSentAt(): number | undefined {
    const [oldest] = this.#flights.values();
    return oldest?.sentAt;
  }

  /** Continues in a new session, because the stream has forgotten this one: nothing of it will be applied any more. */
  restart(session: string): void {
    const unresolved = Array.from(this.#flights.values(), ({ waiting }) => waiting).flat();
    this.#flights.clear();
    const isWanted = ({ command, isSettled }: Waiting) => !isSettled && isFor(command);
    this.#queue = [...unresolved.filter(isWanted), ...this.#queue];
    this.#session = session;
    this.#counter = 0;
  }

  /** Gives up the commands whose time is over. Those in flight may still take effect. */
  expire(): void {
    const now = this.#deps.elapsed();
    const reason = this.#deps.reason();
    const isOver = ({ deadline, isSettled }: Waiting) => deadline <= now && !isSettled;
    if (this.#queue.some(isOver)) {
      const over = this.#queue.filter(isOver);
      this.#queue = this.#queue.filter((each) => !isOver(each));
      for (const each of over) this.#settle(each, notSent(reason));
    }
    for (const { waiting } of this.#flights.values()) {
      for (const each of waiting) if (isOver(each)) this.#settle(each, unknown(each.command, reason));
    }
  }

  /** Gives up everything. */
  close(): void {
    const queue = this.#queue;
    const reason = this.#deps.reason();
    this.#queue = [];
    for (const each of queue) this.#settle(each, notSent(reason));
    for (const { waiting } of this.#flights.values()) {
      for (const each of waiting) this.#settle(each, unknown(each.command, reason));
    }
    this.#flights.clear();
  }

  #settle(waiting: Waiting, outcome: Outcome): void {
    if (waiting.isSettled) return;
    waiting.isSettled = true;
    this.#unsettled -= 1;
    waiting.settle(outcome);
  }
}

/** Returns whether a command is sent again in another session, which says hello for itself. */
function isFor(command: Command): boolean {
  return command instanceof Request || command.type !== 'hello';
}

function isWrite(command: Command): boolean {
  return command instanceof Request || command.type === 'transaction' || command.type === 'config';
}

function notSent(reason: string | undefined): ContextCacheError {
  const message = 'The command was not sent to the cluster in time, so nothing was done. Try again.';
  return new ContextCacheError('LOG_UNAVAILABLE', message + because(reason));
}

function unknown(command: Command, reason: string | undefined): ContextCacheError {
  const operationId = operationOf(command);
  const remedy =
    operationId === undefined
      ? 'Read the entry to find out, or give an operationId to be able to repeat a write.'
      : `Repeat it with the operation id ${JSON.stringify(operationId)} to find out: it is done once.`;
  const message = 'The command was sent to the cluster and its outcome is not known: it may still take effect.';
  return new ContextCacheError('OUTCOME_UNKNOWN', `${message} ${remedy}${because(reason)}`);
}

function operationOf(command: Command): string | undefined {
  if (command instanceof Request) return command.operationId;
  return command.type === 'transaction' ? command.parts[0]?.operationId : undefined;
}

function tooLarge(bytes: number, maxBytes: number): ContextCacheError {
  const message = `The command takes ${bytes} bytes, and the servers of the cluster accept ${maxBytes} (max_payload). Nothing was done.`;
  return new ContextCacheError('INVALID_VALUE', `${message} Split it, or raise max_payload.`);
}
