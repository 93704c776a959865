import { backOffMs } from '../core/back-off.ts';
import { pause } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { JsonValue } from '../core/value.ts';
import { FrameSender } from '../wire/frame-sender.ts';
import {
  ANSWER,
  ASK,
  BATCH,
  CANCEL,
  CLOSE,
  CONSUMED,
  END,
  FAILURE,
  type Frame,
  type Hello,
  NOT_EXECUTED,
} from '../wire/socket-protocol.ts';
import { errorOf, type WireError } from '../wire/wire-error.ts';
import type { Call, IncomingStream, RequestObject, StreamEvents, StreamKind } from './call.ts';
import type { Endpoint } from './endpoint.ts';
import { checkSize, isFinal, lost, lostAgain, notSent, unknownOutcome } from './link-errors.ts';
import type { LinkOptions } from './link-options.ts';
import { LinkTrace } from './link-trace.ts';
import { sentRequest } from './sent-request.ts';
import { Socket } from './socket.ts';

/** Wait before the first attempt to connect again, milliseconds. */
const FIRST_RETRY_MS = 20;
/** From one look for requests that have waited too long to the next, milliseconds. */
const LOOK_MS = 250;
/** Bytes on their way to the server beyond which further requests wait. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** Most streams that are being collected; further requests wait. The server refuses many more. */
const MAX_COLLECTING = 256;

const ignore = (): void => {};

/**
 * Requests to a server over one connection: sent in their order, many at a time, and continued over a new connection if
 * one is lost. Answers match requests by number.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #sender: FrameSender;
  readonly #trace: LinkTrace;
  #socket: Socket | undefined;
  #hello: Hello | undefined;
  /** Last position that this client knows of in the log of the last hello. */
  #position = 0;
  #lastId = 0;
  #queue: Call[] = [];
  #next = 0;
  readonly #sent = new Map<number, Call>();
  readonly #streams = new Map<number, Call>();
  /** Number of streams that are being collected. */
  #collecting = 0;
  /** The server is closing: it executes nothing more and will be replaced. */
  #isDraining = false;
  /** Requests that a closing server has not executed, in their order. */
  #kept: Call[] = [];
  #ended: Error | undefined;
  readonly #whenEnded = new AbortController();
  #lookTimer: unknown;
  /** Attempts to connect since the last answer. */
  #attempts = 0;
  #whenIdle: (() => void) | undefined;

  private constructor(options: LinkOptions) {
    this.#options = options;
    this.#trace = new LinkTrace(options.reporter);
    this.#sender = new FrameSender((message) => this.#post(message));
  }

  /** Connects. Throws as `Socket.open` does. */
  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link(options);
    await link.#connect(await options.find(), options.signal);
    return link;
  }

  /** The greeting of the server at the last connection. */
  get hello(): Hello {
    if (this.#hello === undefined) throw new ContextCacheError('INVARIANT', 'A link is used before it is connected.');
    return this.#hello;
  }

  get now(): number {
    return this.#options.clock.now();
  }

  /** Last position that this client knows of. */
  get position(): number {
    return this.#position;
  }

  /** Notes a position that an answer or an update has told. */
  saw(position: number | undefined): void {
    if (position !== undefined && position > this.#position) this.#position = position;
  }

  get status(): 'connected' | 'reconnecting' | 'closed' {
    if (this.#ended !== undefined) return 'closed';
    return this.#socket === undefined ? 'reconnecting' : 'connected';
  }

  /**
   * Sends a request and resolves with its answer.
   *
   * @throws {ContextCacheError} (as a rejection) the error of the server; `OUTCOME_UNKNOWN` if the connection is lost
   *   before the answer and the request does not repeat, or if the server no longer knows of a repeated write whether it was done;
   *   `UNREACHABLE`, `OVERLOADED`, `CLOSED`.
   */
  ask(request: RequestObject, repeats = request.operationId !== undefined): Promise<JsonValue | undefined> {
    const send = () =>
      new Promise<JsonValue | undefined>((resolve, reject) => {
        this.#add({ request, repeats, resolve, reject, id: 0, due: this.#due() });
      });
    return this.#trace.isHeard ? this.#trace.ask(request, send) : send();
  }

  /** Asks for a stream. */
  stream(request: RequestObject, given: StreamEvents, kind: StreamKind): IncomingStream {
    const { events, cancelled } = this.#trace.stream(request, given, kind);
    const due = kind === 'watch' ? Number.POSITIVE_INFINITY : this.#due();
    const call: Call = { request, repeats: false, resolve: ignore, reject: events.onEnd, events, kind, id: 0, due };
    this.#add(call);
    return {
      consumed: () => this.#note(call, CONSUMED),
      cancel: () => {
        cancelled();
        this.#note(call, CANCEL);
        this.#streams.delete(call.id);
        if (call.id === 0) this.#await(this.#waiting.filter((each) => each !== call));
      },
    };
  }

  /** Waits for the answers of all requests, then closes the connection. */
  async close(): Promise<void> {
    if (this.#ended === undefined && !this.#isIdle) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    this.end(new ContextCacheError('CLOSED', 'The connection to the cache is closed.'));
  }

  /** True if no caller waits for an answer. */
  get #isIdle(): boolean {
    const isAwaited = ({ kind }: Call) => kind === undefined || kind === 'collected';
    if (this.#sent.size > 0 || this.#kept.length > 0) return false;
    return !this.#waiting.some(isAwaited) && ![...this.#streams.values()].some(isAwaited);
  }

  /** Closes the connection. Whatever still waits fails with this error. */
  end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#whenEnded.abort(error);
    this.#options.clock.clearTimeout(this.#lookTimer);
    const socket = this.#socket;
    this.#socket = undefined;
    const waiting = [...this.#sent.values(), ...this.#kept, ...this.#streams.values(), ...this.#waiting];
    this.#sent.clear();
    this.#streams.clear();
    this.#await([]);
    for (const call of waiting) call.reject(error);
    socket?.close();
    this.#whenIdle?.();
  }

  /** Handles a frame of the server. */
  receive(frame: Frame): void {
    const [id, kind, content, position] = frame as [number, number, JsonValue | undefined, number | undefined];
    if (kind !== NOT_EXECUTED) this.#attempts = 0;
    if (kind === BATCH) {
      this.#streams.get(id)?.events?.onBatch(content as readonly JsonValue[], position ?? undefined);
      return;
    }
    const call = this.#sent.get(id) ?? this.#streams.get(id);
    if (call === undefined) return;
    this.#sent.delete(id);
    this.#streams.delete(id);
    if (call.kind === 'collected') this.#collecting -= 1;
    if (kind === ANSWER) call.resolve(content);
    else if (kind === END) call.events?.onEnd();
    else if (kind === FAILURE) call.reject(errorOf(content as unknown as WireError));
    else if (kind === NOT_EXECUTED) this.#refused(call);
    if (this.#isDraining) this.#drained();
    if (this.#next < this.#queue.length) this.#pump();
    this.#checkIdle();
  }

  /** Returns an error if a read that was first lost at this time must not be repeated any more. */
  lostSince(lostAt: number): ContextCacheError | undefined {
    const { timeoutMs } = this.#options;
    return this.now - lostAt > timeoutMs ? lostAgain(timeoutMs) : undefined;
  }

  /** Handles the loss of the connection. */
  lose(code: number, reason: string): void {
    if (this.#ended !== undefined) return;
    this.#socket = undefined;
    this.#sender.discard();
    const isRefused = code === CLOSE.notUnderstood || code === CLOSE.tooLarge;
    const refused = new ContextCacheError('INVALID_COMMAND', `The server has refused a message: ${reason}`);
    const { now } = this;
    const again: Call[] = [];
    for (const call of this.#sent.values()) {
      // Sending what the server does not understand again would go on for ever.
      if (isRefused) call.reject(refused);
      // A server that says it is closing has answered all that it has executed.
      else if (code === CLOSE.goingAway) again.push(call);
      else if (!call.repeats) call.reject(unknownOutcome());
      else {
        const tooLate = this.lostSince(call.lostAt ?? now);
        if (tooLate === undefined) again.push(call);
        else call.reject(tooLate);
      }
    }
    this.#sent.clear();
    // Refused calls came after those that were being executed.
    again.push(...this.#kept);
    this.#kept = [];
    again.sort((a, b) => a.id - b.id);
    for (const call of again) call.lostAt ??= now;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#collecting = 0;
    this.#sendAgain(again);
    const due = this.#due();
    for (const call of this.#waiting) if (Number.isFinite(call.due)) call.due = due;
    this.#options.onLost(lost(code));
    for (const { events, reject } of streams) {
      if (isRefused) reject(refused);
      else events?.onLost();
    }
    this.#lookLater();
    void this.#reconnect();
  }

  /** Keeps a request that the server has not executed because it is closing, for the next connection. */
  #refused(call: Call): void {
    this.#isDraining = true;
    if (call.events === undefined) this.#kept.push(call);
    else call.events.onLost();
  }

  /** Leaves a closing server once it has answered everything. */
  #drained(): void {
    if (this.#sent.size > 0) return;
    const socket = this.#socket;
    this.lose(CLOSE.goingAway, '');
    socket?.close();
  }

  #checkIdle(): void {
    if (this.#whenIdle !== undefined && this.#isIdle) this.#whenIdle();
  }

  /** Puts requests that were sent before everything that waits, in their order. */
  #sendAgain(calls: readonly Call[]): void {
    if (calls.length === 0) return;
    const due = this.#due();
    for (const call of calls) {
      call.id = 0;
      call.due = due;
    }
    this.#await([...calls, ...this.#waiting]);
  }

  /** Requests that wait to be sent. */
  get #waiting(): Call[] {
    return this.#queue.slice(this.#next);
  }

  #await(calls: Call[]): void {
    this.#queue = calls;
    this.#next = 0;
  }

  #add(call: Call): void {
    if (this.#ended !== undefined) {
      call.reject(this.#ended);
      return;
    }
    if (this.#queue.length - this.#next >= this.#options.maxWaiting) {
      const message = `${this.#options.maxWaiting} requests wait to be sent. Await some before sending more.`;
      call.reject(new ContextCacheError('OVERLOADED', message));
      return;
    }
    this.#queue.push(call);
    this.#pump();
  }

  #pump(): void {
    const { limits } = this.hello;
    while (
      this.#next < this.#queue.length &&
      this.#sent.size < limits.inFlight &&
      this.#collecting < MAX_COLLECTING &&
      this.#socket !== undefined &&
      !this.#isDraining &&
      this.#socket.unsent < MAX_UNSENT_BYTES
    ) {
      this.#send(this.#queue[this.#next++] as Call);
    }
    if (this.#next === this.#queue.length || this.#next >= 1_024) this.#await(this.#waiting);
  }

  #send(call: Call): void {
    this.#lastId += 1;
    call.id = this.#lastId;
    const most = this.hello.limits.messageBytes;
    try {
      checkSize(this.#sender.sendWithin(most, call.id, ASK, sentRequest(call, this.hello.log, this.#position)), most);
    } catch (error) {
      call.reject(notSent(error));
      return;
    }
    if (call.events === undefined) this.#sent.set(call.id, call);
    else this.#streams.set(call.id, call);
    if (call.kind === 'collected') this.#collecting += 1;
  }

  #note(call: Call, kind: number): void {
    if (this.#socket !== undefined && this.#streams.has(call.id)) this.#sender.send(call.id, kind);
  }

  #post(message: Buffer): void {
    this.#socket?.send(message, () => {
      if (this.#next < this.#queue.length) this.#pump();
    });
  }

  async #connect(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<void> {
    let socket: Socket | undefined;
    let lostWith: Parameters<Link['lose']> | undefined;
    const events = {
      onFrame: (frame: Frame) => this.receive(frame),
      onClose: (code: number, reason: string) => {
        if (socket !== undefined && this.#socket === socket) this.lose(code, reason);
        else lostWith = [code, reason];
      },
    };
    const { clock } = this.#options;
    socket = await this.#trace.connect(endpoint, this.#attempts + 1, () =>
      Socket.open(endpoint, events, clock, signal),
    );
    if (lostWith !== undefined) throw lost(lostWith[0]);
    if (this.#hello?.log !== socket.hello.log) this.#position = 0;
    this.#hello = socket.hello;
    this.#trace.isConnected(socket.hello);
    this.saw(socket.hello.position);
    this.#isDraining = false;
    this.#socket = socket;
  }

  async #reconnect(): Promise<void> {
    const { clock, find, longestRetryMs = 1_000 } = this.#options;
    // A connection that brought nothing counts as a failed attempt.
    for (; this.#ended === undefined; this.#attempts += 1) {
      if (this.#attempts > 0)
        await pause(clock, backOffMs(this.#attempts, FIRST_RETRY_MS, longestRetryMs), this.#whenEnded.signal);
      let endpoint: Endpoint | undefined;
      try {
        endpoint = await find();
        await this.#connect(endpoint, this.#whenEnded.signal);
        clock.clearTimeout(this.#lookTimer);
        this.#attempts += 1;
        this.#pump();
        return;
      } catch (error) {
        if (error instanceof ContextCacheError && isFinal(error, endpoint)) this.end(error);
      }
    }
  }

  /** Fails the requests that have waited for a connection for too long. */
  #lookLater(): void {
    const { clock, timeoutMs } = this.#options;
    this.#lookTimer = clock.setTimeout(() => {
      if (this.#socket !== undefined || this.#ended !== undefined) return;
      const now = clock.now();
      const waiting = this.#waiting;
      this.#await(waiting.filter(({ due }) => due > now));
      const message = `The server has been out of reach for ${timeoutMs} ms. Nothing was done. Try again later.`;
      for (const call of waiting) if (call.due <= now) call.reject(new ContextCacheError('UNREACHABLE', message));
      this.#checkIdle();
      this.#lookLater();
    }, LOOK_MS);
  }

  #due(): number {
    return this.now + this.#options.timeoutMs;
  }
}
