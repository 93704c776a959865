import type { WebSocket } from 'ws';
import { attempt, whenDurable } from '../cache/attempt.ts';
import { isDataCommand } from '../core/admission.ts';
import type { Clock } from '../core/clock.ts';
import type { Acknowledgement } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { FrameSender } from '../wire/frame-sender.ts';
import { MessageReader } from '../wire/message-codec.ts';
import {
  ANSWER,
  ASK,
  BATCH,
  BATCH_BYTES,
  CANCEL,
  CLOSE,
  CONSUMED,
  END,
  FAILURE,
  HELLO,
  type Hello,
  MAX_MESSAGE_ITEMS,
  NOT_EXECUTED,
  PING_MS,
  SILENCE_MS,
} from '../wire/socket-protocol.ts';
import { wireError } from '../wire/wire-error.ts';
import { asAgent } from './apply-lines.ts';
import { OpenViews } from './open-views.ts';
import { OutgoingStream } from './outgoing-stream.ts';
import type { ClientCache, ServedCache } from './served-cache.ts';
import {
  actingSession,
  answerOf,
  isRequest,
  isStream,
  type Request,
  type Session,
  streamOf,
  withoutRepeats,
} from './socket-requests.ts';

/** Most streams of one client at a time. */
const MAX_STREAMS = 1_000;
/** Unread bytes beyond which no further request of the client is executed, and its streams wait. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** Pings without an answer, or without any reading of what was sent, before the client is given up. */
const MAX_SILENT_PINGS = SILENCE_MS / PING_MS;

/** Most requests that are executed in one turn, before other clients get theirs. */
const TURN_REQUESTS = 512;
/** A stream counts for as many requests: it may list a namespace, and must send before many others do so as well. */
const STREAM_REQUESTS = 32;
/** Requests without a limit of time. */
const UNLIMITED: ReadonlySet<string> = new Set(['cache.verify', 'cache.compact', 'context.backup']);

/** The parts of a connection. */
export interface SocketConnectionOptions {
  readonly socket: WebSocket;
  readonly cache: ServedCache;
  readonly clock: Clock;
  readonly hello: Hello;
  /** Longest time for the answer to a request, milliseconds. */
  readonly requestTimeoutMs: number;
}

/** A request that waits for its turn. */
interface Waiting {
  readonly id: number;
  readonly request: Request;
}

/** Decodes the messages of all connections: a message is decoded in one turn. */
const reader = new MessageReader(true, MAX_MESSAGE_ITEMS);

/**
 * The connection of one client: executes its requests in their order, many at a time, and sends answers as they come.
 * Keeps a bounded number of requests and bytes; beyond that, it stops reading from the client until that has caught up.
 */
export class SocketConnection {
  readonly #options: SocketConnectionOptions;
  readonly #socket: WebSocket;
  readonly #owner: ServedCache;
  readonly #cache: ClientCache;
  readonly #session: Session & { readonly views: OpenViews };
  readonly #sender = new FrameSender((message) => this.#post(message));
  #waiting: Waiting[] = [];
  #next = 0;
  /** Ids of waiting requests that are not wanted any more. */
  readonly #cancelled = new Set<number>();
  /** Ids of the requests that are being executed, and when they time out. */
  readonly #inFlight = new Map<number, number>();
  readonly #streams = new Map<number, OutgoingStream>();
  /** Acknowledgements that wait for the same commit. */
  #committing: { readonly committed: Promise<void>; readonly done: [number, Acknowledgement][] } | undefined;
  /** A turn that goes on with the waiting requests is due. */
  #isProceeding = false;
  #isEnding = false;
  #isClosed = false;
  #silentPings = 0;
  #unreadBytes = 0;
  /** Ids of the streams that wait for room, with the function that ends the wait. */
  readonly #waitForRoom = new Map<number, () => void>();
  /** The streams get the next room, and not the requests. */
  #isTurnOfStreams = false;

  constructor(options: SocketConnectionOptions) {
    this.#options = options;
    const { socket, cache, hello } = options;
    this.#socket = socket;
    const { agent } = hello;
    this.#owner = cache;
    this.#cache = agent === null ? cache : cache.forAgent(agent);
    this.#session = { cache: this.#cache, agent, views: new OpenViews(this.#cache) };
    socket.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary));
    socket.on('pong', () => {
      this.#silentPings = 0;
    });
    socket.on('close', () => this.close());
    socket.on('error', () => socket.terminate());
    this.#sender.send(0, HELLO, hello);
    this.#sender.flush();
  }

  /**
   * Executes no further request, sends the answers of those that are being executed, and closes. Resolves when the
   * connection is closed.
   */
  end(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#socket.readyState === this.#socket.CLOSED) resolve();
      else this.#socket.once('close', () => resolve());
    });
    this.#isEnding = true;
    this.#pump();
    return closed;
  }

  /** Ends all streams and releases the views. Commands that were sent are executed to their end. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#next = 0;
    for (const stream of this.#streams.values()) stream.cancel();
    this.#streams.clear();
    this.#session.views.closeAll();
  }

  /**
   * Asks for a sign of life, ends requests that take too long, and sends the positions of idle watches. Called every
   * {@link PING_MS}.
   */
  beat(): void {
    const unread = this.#socket.bufferedAmount;
    // A client that reads a backlog, or whose messages are not being read here, cannot answer a ping yet.
    const isAlive = unread < this.#unreadBytes || (this.#isHeld && unread === 0);
    this.#silentPings = isAlive ? 0 : this.#silentPings + 1;
    this.#unreadBytes = unread;
    if (this.#silentPings > MAX_SILENT_PINGS) {
      this.#socket.close(CLOSE.tooSlow, 'The client does not read.');
      // The closing message would wait behind everything unread.
      this.#socket.terminate();
      return;
    }
    this.#endLate();
    for (const stream of this.#streams.values()) stream.sendPosition();
    this.#socket.ping();
  }

  get #isHeld(): boolean {
    return this.#next < this.#waiting.length;
  }

  #receive(message: Buffer, isBinary: boolean): void {
    if (this.#isClosed) return;
    try {
      if (!isBinary) throw new RangeError('The message is not binary');
      reader.begin(message);
      while (reader.at < message.length) this.#take(reader.value(false));
    } catch (error) {
      this.#socket.close(CLOSE.notUnderstood, error instanceof Error ? error.message.slice(0, 100) : '');
      this.close();
      return;
    }
    this.#silentPings = 0;
    this.#pump();
  }

  /** @throws {RangeError} if it is not a frame of the protocol. */
  #take(frame: unknown): void {
    const [id, kind, request] = Array.isArray(frame) ? frame : [];
    if (!Number.isSafeInteger(id) || id < 1) throw new RangeError('A frame needs an id from 1 up');
    if (kind === CONSUMED) this.#streams.get(id)?.consumed();
    else if (kind === CANCEL) this.#cancel(id);
    else if (kind === ASK && isRequest(request)) this.#waiting.push({ id, request });
    else throw new RangeError('A frame is of no known kind, or its request has no type');
  }

  #cancel(id: number): void {
    this.#streams.get(id)?.cancel();
    this.#streams.delete(id);
    if (this.#isHeld) this.#cancelled.add(id);
  }

  /** Executes requests while the client has room for their answers. */
  #pump(): void {
    const { inFlight } = this.#options.hello.limits;
    if (this.#isEnding) {
      for (const { id } of this.#waiting.slice(this.#next)) this.#sender.send(id, NOT_EXECUTED);
      this.#next = this.#waiting.length;
      if (this.#inFlight.size === 0 && !this.#isClosed) {
        this.#sender.flush();
        this.#socket.close(CLOSE.goingAway, 'The server is closing.');
        this.close();
      }
    }
    let left = TURN_REQUESTS;
    while (this.#isHeld && left > 0 && this.#inFlight.size < inFlight && this.#unsent < MAX_UNREAD_BYTES) {
      const { id, request } = this.#waiting[this.#next++] as Waiting;
      if (this.#cancelled.delete(id)) continue;
      left -= isStream(request.type) ? STREAM_REQUESTS : 1;
      this.#start(id, request);
    }
    if (left <= 0 && this.#isHeld) this.#proceedLater();
    if (!this.#isHeld) {
      this.#waiting = [];
      this.#next = 0;
      this.#cancelled.clear();
    }
    if (this.#isHeld !== this.#socket.isPaused) {
      if (this.#isHeld) this.#socket.pause();
      else this.#socket.resume();
    }
  }

  /** Once a turn: what is started in a turn shows its size only at the turn's end. */
  #proceedLater(): void {
    if (this.#isProceeding || !(this.#isHeld || this.#waitForRoom.size > 0)) return;
    this.#isProceeding = true;
    setImmediate(() => {
      this.#isProceeding = false;
      this.#proceed();
    });
  }

  /** Gives room to streams and requests that wait for it, in turn. */
  #proceed(): void {
    if (this.#waitForRoom.size > 0 && (this.#isTurnOfStreams || !this.#isHeld)) {
      if (this.#unsent >= MAX_UNREAD_BYTES) return;
      this.#isTurnOfStreams = false;
      this.#giveRoom();
    } else if (this.#isHeld) {
      this.#isTurnOfStreams = true;
      this.#pump();
    }
  }

  /** Lets as many streams send a batch as there is room for. Each sends something, and then others get their turn. */
  #giveRoom(): void {
    let bytes = MAX_UNREAD_BYTES - this.#unsent;
    for (const [id, give] of this.#waitForRoom) {
      if (bytes <= 0) return;
      this.#waitForRoom.delete(id);
      give();
      if (this.#streams.has(id)) bytes -= BATCH_BYTES;
    }
  }

  #room(id: number): Promise<void> | undefined {
    if (this.#unsent < MAX_UNREAD_BYTES) return undefined;
    return new Promise((resolve) => this.#waitForRoom.set(id, resolve));
  }

  get #unsent(): number {
    return this.#socket.bufferedAmount + this.#sender.length;
  }

  #start(id: number, given: Request): void {
    if (this.#inFlight.has(id) || this.#streams.has(id)) {
      this.#fail(id, new ContextCacheError('INVALID_COMMAND', `Request ${id} is being executed. Count the ids up.`));
      return;
    }
    try {
      const repeated = given.repeats === undefined ? given : withoutRepeats(this.#cache, given);
      const [session, request] =
        repeated.as === undefined ? [this.#session, repeated] : actingSession(this.#session, this.#owner, repeated);
      if (isStream(request.type)) this.#stream(id, session, request);
      else if (isDataCommand(request as never)) this.#write(id, session, request);
      else this.#settle(id, request.type, answerOf(session, request));
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #write(id: number, { cache, agent }: Session, request: Request): void {
    const answer = attempt(cache, asAgent(agent, request as never) as never);
    if (answer instanceof Promise) {
      this.#settle(id, request.type, answer);
      return;
    }
    const committed = whenDurable(this.#cache, answer.position);
    if (committed === undefined) {
      this.#sender.send(id, ANSWER, answer);
      return;
    }
    this.#inFlight.set(id, this.#timeout());
    if (this.#committing?.committed !== committed) this.#newCommit(committed);
    this.#committing?.done.push([id, answer]);
  }

  #newCommit(committed: Promise<void>): void {
    const done: [number, Acknowledgement][] = [];
    this.#committing = { committed, done };
    committed.then(
      () => {
        for (const [id, answer] of done) this.#answer(id, answer);
        this.#pump();
      },
      (error) => {
        for (const [id] of done) if (this.#inFlight.delete(id)) this.#fail(id, error);
        this.#pump();
      },
    );
  }

  /** Sends an answer, at once or when it is there. */
  #settle(id: number, type: string, answer: unknown): void {
    if (!(answer instanceof Promise)) {
      this.#sender.send(id, ANSWER, answer);
      return;
    }
    this.#inFlight.set(id, this.#timeout(type));
    answer.then(
      (result) => {
        this.#answer(id, result);
        this.#pump();
      },
      (error) => {
        if (this.#inFlight.delete(id)) this.#fail(id, error);
        this.#pump();
      },
    );
  }

  #answer(id: number, answer: unknown): void {
    if (this.#inFlight.delete(id)) this.#sender.send(id, ANSWER, answer);
  }

  #stream(id: number, session: Session, request: Request): void {
    if (this.#streams.size >= MAX_STREAMS) {
      throw new ContextCacheError('OVERLOADED', `A client may read ${MAX_STREAMS} streams at a time. End some first.`);
    }
    const stream = new OutgoingStream({
      ...streamOf(session, request),
      room: () => this.#room(id),
      onBatch: ({ items, position }) => this.#sender.sendItems(id, BATCH, items, position),
      onEnd: (error) => {
        this.#streams.delete(id);
        if (error !== undefined) this.#fail(id, error);
        // A watch only ends with the cache. Its client continues at the next server.
        else if (request.type !== 'watch') this.#sender.send(id, END);
      },
    });
    this.#streams.set(id, stream);
    stream.sendPosition();
    void stream.run();
  }

  #fail(id: number, error: unknown): void {
    // A cache that is shut down executes nothing; its clients ask the next one. Otherwise something else is closed, such
    // as a view or a store, and asking again would fail again.
    const isClosed = error instanceof ContextCacheError && error.code === 'CLOSED';
    const isOver = this.#isEnding || this.#cache.inspection.log.status === 'closed';
    if (isClosed && isOver) this.#sender.send(id, NOT_EXECUTED);
    else this.#sender.send(id, FAILURE, wireError(error));
  }

  #post(message: Buffer): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(message, () => this.#proceedLater());
  }

  /** Returns when a request times out. Work that grows with the data takes as long as it needs. */
  #timeout(type = ''): number {
    if (UNLIMITED.has(type)) return Number.POSITIVE_INFINITY;
    return this.#options.clock.now() + this.#options.requestTimeoutMs;
  }

  #endLate(): void {
    const now = this.#options.clock.now();
    for (const [id, due] of this.#inFlight) {
      if (due > now) continue;
      this.#inFlight.delete(id);
      const message = `The server had no answer within ${this.#options.requestTimeoutMs} ms. The command may still take effect.`;
      this.#fail(id, new ContextCacheError('TIMED_OUT', message));
    }
    this.#pump();
  }
}
