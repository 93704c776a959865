import type { Acknowledgement, TransactionResult } from '../../core/command.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { Request } from '../../core/request.ts';
import type { JsonValue } from '../../core/value.ts';
import type { BeginCommand, ClusterCommand, Command, ProtocolCommand } from './commands.ts';
import { type LeaseResult, Leases, type StoredLease } from './leases.ts';
import { commandsOf, type Opened, openMessage } from './message-decoder.ts';
import type { Replica } from './replica.ts';
import { Sessions, type StoredSession, type Turn } from './sessions.ts';
import { mix, Votes } from './votes.ts';

/** The protocols that a version of the package understands. */
export interface Protocols {
  readonly min: number;
  readonly max: number;
}

/** The protocols that this version understands. */
export const PROTOCOLS: Protocols = { min: 1, max: 1 };

/** The protocol of each new cluster, whatever its nodes understand: it changes by a command of the stream alone. */
const FIRST_PROTOCOL = 1;

/** A session counts for the choice of a protocol for this long after its last message, in the stream's time. */
export const LIVE_MS = 60_000;

/** Name of the lease whose holder may raise the protocol. A command that was held up comes after the end of its lease. */
export const PROTOCOL_LEASE = 'protocol';

/** Nodes speak every 10 s, so a longer silence of the stream, in its time, shows that they could not. */
const LONGEST_SILENCE_MS = 20_000;

/** Answer to a command: a result, or the error with which the rules refuse it. */
export type Outcome = Acknowledgement | TransactionResult | LeaseResult | { readonly done: boolean } | Error;

/** A message of the stream. */
export interface OrderedMessage {
  readonly sequence: number;
  /** Time at which the stream stored it, epoch milliseconds. */
  readonly at: number;
  readonly data: Uint8Array;
}

/** The commands of a message that this node has sent itself, which need not be decoded, and what becomes of them. */
export interface OwnMessage {
  readonly bytes: Buffer;
  readonly commands: readonly Command[];
  readonly settle: (index: number, outcome: Outcome) => void;
}

/** Fate of a message, and its sender. */
export interface Applied {
  readonly turn: Turn | 'malformed';
  /** Session and number of the message; empty and 0 if it is malformed. */
  readonly session: string;
  readonly counter: number;
}

/** Everything of a cluster that is not data, as a snapshot stores it. */
export interface StoredMachine {
  readonly sequence: number;
  readonly time: number;
  readonly hash: number;
  readonly position: number;
  readonly protocol: number;
  readonly sessions: readonly StoredSession[];
  readonly leases: readonly StoredLease[];
  readonly checkpoints: readonly (readonly [string, number])[];
  readonly config: readonly (readonly [string, JsonValue])[];
}

/** A message that is being applied. */
interface Current {
  readonly message: OrderedMessage;
  readonly opened: Opened | undefined;
  turn: Applied['turn'];
  commands: readonly Command[];
  own: OwnMessage | undefined;
  /** The protocol after the message. */
  protocol: number;
  /** Position before the message, when nothing had expired yet. */
  readonly position: number;
  /** Index of the next command; -1: what is due has yet to expire. */
  next: number;
}

/**
 * The state that all nodes of a cluster share, and its one way to change: the messages of the stream, in their order. It has
 * no clock, no randomness and no I/O, so that two machines that have applied the same messages are equal. The data lies in
 * a {@link Replica}.
 */
export class Machine {
  readonly sessions = new Sessions();
  readonly leases = new Leases();
  readonly votes = new Votes();
  /** Grows with each change of {@link config}. Not part of the state. */
  configVersion = 0;
  readonly #config = new Map<string, JsonValue>();
  readonly #replica: Replica;
  /** Returns the own message with this number, if the node has sent it. */
  readonly #own: (session: string, counter: number) => OwnMessage | undefined;
  #sequence = 0;
  #time = 0;
  #hash = 0;
  #protocol = FIRST_PROTOCOL;
  #steadySince = Number.NEGATIVE_INFINITY;
  /** `true` once {@link restore} was called. */
  #isRestored = false;
  #current: Current | undefined;

  constructor(replica: Replica, own: (session: string, counter: number) => OwnMessage | undefined = () => undefined) {
    this.#replica = replica;
    this.#own = own;
  }

  /** Sequence of the last message that was applied or ignored. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The stream's time, epoch milliseconds: the latest of all messages so far. It never goes back. */
  get time(): number {
    return this.#time;
  }

  /** Hash of all decisions so far. Two nodes differ if it differs at the same sequence. */
  get hash(): number {
    return this.#hash;
  }

  /** The protocol that all nodes follow. A command raises it for the messages after its own. */
  get protocol(): number {
    return this.#protocol;
  }

  /** The stream's time since which this node has read no long silence. Not part of the state. */
  get steadySince(): number {
    return this.#steadySince;
  }

  /** The settings that all nodes share. */
  get config(): ReadonlyMap<string, JsonValue> {
    return this.#config;
  }

  /** `true` if a message was begun and could not be finished; see {@link resume}. */
  get isStalled(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Applies the next message. If the replica throws, the message is kept, and {@link resume} continues it.
   *
   * @throws {ContextCacheError} `FORMAT_UNSUPPORTED` for a message that this version cannot read, which has changed nothing;
   *   `LOG_CORRUPT` if messages are missing before it; and what the replica throws.
   */
  apply(message: OrderedMessage): Applied {
    if (this.#current !== undefined) throw new ContextCacheError('INVARIANT', 'A message is being applied already.');
    if (message.sequence !== this.#sequence + 1) throw hole(this.#sequence, message.sequence);
    const opened = openMessage(message.data);
    if (this.#time > 0 && message.at - this.#time > LONGEST_SILENCE_MS) this.#steadySince = message.at;
    if (message.at > this.#time) this.#time = message.at;
    if (opened !== undefined) this.votes.hear(opened.session, opened.seenSequence, opened.seenHash, this.#time);
    this.#current = {
      message,
      opened,
      turn: 'malformed',
      commands: [],
      own: undefined,
      protocol: this.#protocol,
      position: this.#replica.position,
      next: -1,
    };
    return this.resume();
  }

  /** Goes on with the message that could not be finished. */
  resume(): Applied {
    const current = this.#current;
    if (current === undefined) throw new ContextCacheError('INVARIANT', 'No message is being applied.');
    this.#replica.together(() => {
      if (current.next === -1) this.#begin(current);
      for (; current.next < current.commands.length; current.next += 1) this.#next(current);
    });
    this.#sequence = current.message.sequence;
    this.#protocol = current.protocol;
    this.#mix(this.#protocol);
    this.votes.note(this.#sequence, this.#hash);
    this.#current = undefined;
    const { session = '', counter = 0 } = current.opened ?? {};
    return { turn: current.turn, session, counter };
  }

  #begin(current: Current): void {
    const { opened } = current;
    this.#replica.expire(this.#time);
    this.#mix(this.#replica.position);
    this.sessions.forget(this.#time);
    current.next = 0;
    if (opened === undefined) return;
    const { session, counter, seenSequence } = opened;
    current.turn = this.sessions.turnOf(session, counter);
    if (current.turn !== 'applied') return;
    const own = this.#own(session, counter);
    const isOwn = own?.bytes.equals(opened.bytes) === true;
    const commands = isOwn ? own.commands : commandsOf(opened, this.#time);
    if (commands === undefined || !this.#isIntroduced(session, commands)) {
      current.turn = commands === undefined ? 'malformed' : 'gap';
      return;
    }
    current.commands = commands;
    current.own = isOwn ? own : undefined;
    this.#mix(opened.checksum);
    this.sessions.count(session, counter, this.#time, seenSequence);
  }

  /** Returns whether a session has said hello, or does so first in its first message. */
  #isIntroduced(session: string, [first]: readonly Command[]): boolean {
    return this.sessions.has(session) || (first !== undefined && !(first instanceof Request) && first.type === 'hello');
  }

  #next(current: Current): void {
    const { commands, next, own } = current;
    const command = commands[next] as Command;
    const outcome = this.#execute(command, current);
    this.#mixOutcome(outcome);
    this.#mix(this.#replica.position);
    own?.settle(next, outcome);
  }

  /** Adds to the hash what was decided about a command. */
  #mixOutcome(outcome: Outcome): void {
    this.#mix(outcome instanceof Error ? 1 : 2);
    if (outcome instanceof Error) return;
    if ('version' in outcome) this.#mix(outcome.version);
    else if ('namespaces' in outcome) for (const { version } of outcome.namespaces) this.#mix(version);
    else if ('done' in outcome) this.#mix(outcome.done ? 1 : 0);
    else {
      this.#mix(outcome.held ? 1 : 0);
      this.#mix(outcome.lease?.until ?? 0);
    }
  }

  #execute(command: Command, current: Current): Outcome {
    if (command instanceof Request) {
      // Copied if it has no instant, as in an own message, or was executed and could not be.
      const isReady = command.at === this.#time && !command.settled;
      const request = isReady ? command : command.timed(this.#time);
      this.#replica.execute(request);
      const { result, error } = request;
      if (result === undefined && error === undefined)
        throw new ContextCacheError('INVARIANT', 'A command is not settled.');
      return error ?? (result as Acknowledgement);
    }
    if (command.type === 'transaction') {
      return this.#replica.transact(command.parts.map((part) => part.timed(this.#time)));
    }
    return this.#executeOwn(command, current);
  }

  #executeOwn(command: ClusterCommand, current: Current): Outcome {
    const { session, counter, seenSequence } = current.opened as Opened;
    switch (command.type) {
      case 'noop':
        return DONE;
      case 'hello':
        this.sessions.hello(session, command, this.#time);
        this.sessions.count(session, counter, this.#time, seenSequence);
        return DONE;
      case 'lease':
        return this.leases.take(command.name, session, command.forMs, this.#time);
      case 'checkpoint':
        return { done: this.leases.checkpoint(command.name, session, command.position, this.#time) };
      case 'config':
        this.configVersion += 1;
        if (command.value === null) this.#config.delete(command.name);
        else this.#config.set(command.name, command.value);
        return DONE;
      case 'protocol':
        return { done: this.#raise(command, session, current) };
      case 'begin':
        return { done: this.#isContinued(command, current.position) };
      case 'leave':
        this.sessions.leave(session);
        return DONE;
    }
  }

  /** Raises the protocol if every live node understands it. All nodes decide the same, by what sessions have said in the stream. */
  #raise({ protocol }: ProtocolCommand, session: string, current: Current): boolean {
    if (protocol <= current.protocol) return false;
    if (this.leases.held(PROTOCOL_LEASE, this.#time)?.session !== session) return false;
    for (const [, { minProtocol, maxProtocol }] of this.sessions.live(this.#time, LIVE_MS)) {
      if (protocol < minProtocol || protocol > maxProtocol) return false;
    }
    current.protocol = protocol;
    return true;
  }

  /** Checks that this node had the state that the stream goes on from, before anything expired with this message. */
  #isContinued({ position, time, hash }: BeginCommand, before: number): boolean {
    // At position 0 too the stream goes on from a state: protocol and settings.
    if (before !== position || !this.#isRestored) {
      const state = this.#isRestored ? `at position ${before}` : 'without the state that belongs to it';
      const message = `The stream continues from position ${position}, and this node is ${state}.`;
      const remedy =
        'Start it with an empty directory and with cluster.snapshots, which has a snapshot of that position.';
      throw new ContextCacheError('POSITION_UNAVAILABLE', `${message} ${remedy}`);
    }
    this.#time = Math.max(this.#time, time);
    this.#hash = hash;
    return true;
  }

  #mix(value: number): void {
    this.#hash = mix(this.#hash, value);
  }

  /** Returns everything that is not data. Not while a message is being applied. */
  stored(): StoredMachine {
    return { ...this.storedShared(), sessions: this.sessions.stored() };
  }

  /** Returns what {@link stored} does, without the sessions. */
  storedShared(): Omit<StoredMachine, 'sessions'> {
    if (this.#current !== undefined) throw new ContextCacheError('INVARIANT', 'A message is being applied.');
    return {
      ...{ sequence: this.#sequence, time: this.#time, hash: this.#hash, position: this.#replica.position },
      ...{ protocol: this.#protocol, leases: this.leases.stored() },
      ...{ checkpoints: [...this.leases.checkpoints], config: [...this.#config] },
    };
  }

  /**
   * Takes in what {@link stored} has returned. The replica has the data of that position.
   *
   * @throws {ContextCacheError} `INVARIANT` if it has those of another.
   */
  restore(stored: StoredMachine): void {
    if (stored.position !== this.#replica.position) {
      const message = `The state of the cluster belongs to position ${stored.position}, the data to ${this.#replica.position}.`;
      throw new ContextCacheError('INVARIANT', message);
    }
    this.#isRestored = true;
    this.#sequence = stored.sequence;
    this.#time = stored.time;
    this.#hash = stored.hash;
    this.#protocol = stored.protocol;
    this.#steadySince = stored.time;
    this.sessions.restore(stored.sessions);
    this.leases.restore(stored.leases, stored.checkpoints);
    this.#config.clear();
    for (const [name, value] of stored.config) this.#config.set(name, value);
    this.votes.note(this.#sequence, this.#hash);
  }
}

const DONE = Object.freeze({ done: true });

function hole(before: number, sequence: number): ContextCacheError {
  const message = `Message ${sequence} of the stream follows message ${before}: those between them are missing.`;
  return new ContextCacheError('LOG_CORRUPT', message);
}
