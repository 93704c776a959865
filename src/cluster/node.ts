import { elapsedBy } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { catchUpInRounds } from './catch-up.ts';
import type { Following, StreamInfo, StreamMessage } from './command-stream.ts';
import type { Command, HelloCommand } from './machine/commands.ts';
import { type Applied, Machine, type Outcome, PROTOCOLS } from './machine/machine.ts';
import { astray, closed, failed, protocolError, purged, rewound } from './node-errors.ts';
import type { NodeOptions } from './node-options.ts';
import { Outbox } from './outbox.ts';

/** Milliseconds between two looks at deadlines, messages that were lost, and votes. */
const WATCH_MS = 250;
/** A message in flight is sent again after this long. */
const RESEND_MS = 2_000;
/** Pause before messages are sent again of which an earlier one is missing. */
const GAP_PAUSE_MS = 50;
/** Pause before a message that could not be applied is tried again. */
const STALL_MS = 100;
/** A node that has nothing to say speaks after this long, so that the others know it and time goes on. */
const SILENCE_MS = 10_000;
/** After this long without a proof of being up to date the node asks the stream. */
const PROBE_MS = 1_000;

/** Milliseconds between two looks at the commands that wait when the node is closed. */
const DRAIN_MS = 5;

/** Status of a node. `stalled`: it can apply nothing at present. `failed`: it has left service. */
export type NodeStatus = 'joining' | 'ready' | 'stalled' | 'failed' | 'closed';

/** Codes of errors after which trying again may help. */
const PASSING: readonly (string | undefined)[] = ['LOG_UNAVAILABLE', 'OVERLOADED'];

/** One process of a cluster: sends commands to the stream, and applies those of all nodes in the stream's order. */
export class ClusterNode {
  readonly machine: Machine;
  readonly #options: NodeOptions;
  readonly #outbox: Outbox;
  #status: NodeStatus = 'joining';
  #following: Following | undefined;
  #info: StreamInfo | undefined;
  #failure: ContextCacheError | undefined;
  #stalledBy: ContextCacheError | undefined;
  #watch: unknown;
  #stall: unknown;
  #resend: unknown;
  #isFlushing = false;
  /** `true` once this node has read what the stream had when it joined. Nothing is sent before. */
  #hasCaughtUp = false;
  /** The session that the stream knows, because its hello was applied. */
  #introduced: string | undefined;
  #barrier: { readonly promise: Promise<void>; readonly waiting: { readonly isSent: boolean } } | undefined;
  /** Elapsed time at which this node knew the newest message; see {@link stalenessMs}. */
  #freshAt = Number.NEGATIVE_INFINITY;
  #isProbing = false;
  #spokeAt = 0;
  readonly #reached = new Set<() => void>();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.newSession(), {
      elapsed: () => this.#elapsed(),
      publish: (message) => {
        this.#spokeAt = this.#elapsed();
        return options.stream.publish(message);
      },
      isOpen: () => this.#hasCaughtUp && this.isRunning && options.stream.connected,
      seen: () => ({ sequence: this.machine.sequence, hash: this.machine.hash }),
      again: (pauseMs) => this.#resendIn(pauseMs),
      rewound: (sequence) => this.#fail(rewound(sequence, this.machine.sequence)),
      reason: () => this.reason,
      maxQueued: options.maxQueued,
      writeTimeoutMs: options.writeTimeoutMs,
    });
    this.machine = new Machine(options.replica, (session, counter) => this.#outbox.message(session, counter));
    if (options.stored === undefined) return;
    this.machine.restore(options.stored);
    options.streamClock.set(this.machine.time);
  }

  get status(): NodeStatus {
    return this.#status;
  }

  /** Why the node has left service. */
  get failure(): ContextCacheError | undefined {
    return this.#failure;
  }

  /** Why this node applies nothing, or cannot use the stream, until something is mended; `undefined` if it can. */
  get problem(): ContextCacheError | undefined {
    return this.#failure ?? this.#stalledBy ?? this.#options.stream.problem;
  }

  /** Says why this node falls behind; `undefined` if it knows no reason. */
  get reason(): string | undefined {
    return this.problem?.message ?? (this.#options.stream.connected ? undefined : 'No server is connected.');
  }

  get session(): string {
    return this.#outbox.session;
  }

  /** The condition of the stream when the node last asked. */
  get info(): StreamInfo | undefined {
    return this.#info;
  }

  /** Number of commands of this node that wait for their outcome. */
  get waiting(): number {
    return this.#outbox.size;
  }

  /**
   * Milliseconds by which this node may be behind: since this instant it may lack what others have written. `Infinity` if it
   * was never up to date.
   */
  get stalenessMs(): number {
    return Math.max(0, this.#elapsed() - this.#freshAt);
  }

  /** `false` once the node has left service or is closed. */
  get isRunning(): boolean {
    return this.#status !== 'failed' && this.#status !== 'closed';
  }

  /**
   * Joins the cluster: reads what the stream has until little is new since it asked, says hello, and resolves once this node has applied that itself.
   *
   * @throws {ContextCacheError} (as a rejection) `LOG_UNAVAILABLE` if the stream cannot be reached or does not answer in
   *   time; `POSITION_UNAVAILABLE` if it has purged messages that this node needs; `LOG_CORRUPT` if it ends before the
   *   state of this node; `FORMAT_UNSUPPORTED` for messages or a protocol that this version does not understand.
   */
  async join(): Promise<void> {
    const unsupported = this.#protocolError();
    if (unsupported !== undefined) throw unsupported;
    const info = await this.#options.stream.info();
    this.#info = info;
    this.#outbox.maxBytes = info.maxBytes;
    const { sequence } = this.machine;
    if (info.first > sequence + 1) throw purged(sequence, info.first);
    if (info.last < sequence) throw rewound(info.last, sequence);
    this.#follow();
    this.#watchSoon();
    const ask = async () => (await this.#options.stream.info()).last;
    await catchUpInRounds(this, { last: info.last, ask }, this.#options.clock, this.#options.writeTimeoutMs);
    this.#hasCaughtUp = true;
    return this.#hello();
  }

  /** Sends a command, which is settled when its message is applied here. `isUrgent`: before those that wait, whatever their number. */
  submit(command: Command, settle: (outcome: Outcome) => void, isUrgent = false): void {
    if (!this.isRunning) {
      settle(this.#failure ?? closed());
      return;
    }
    this.#outbox.add(command, settle, isUrgent);
    this.#flushSoon();
  }

  /** Resolves once everything that was acknowledged anywhere before this call is visible here. */
  barrier(): Promise<void> {
    // Shared only until it is in a message: writes that are acknowledged later may be ordered behind that message.
    if (this.#barrier !== undefined && !this.#barrier.waiting.isSent) return this.#barrier.promise;
    if (!this.isRunning) return Promise.reject(this.#failure ?? closed());
    let waiting: { readonly isSent: boolean } = { isSent: true };
    const promise = new Promise<void>((resolve, reject) => {
      waiting = this.#outbox.add({ type: 'noop' }, (outcome) => {
        if (outcome instanceof Error) {
          // One that was never sent is over as well, and is not shared any more.
          this.#barrier = undefined;
          reject(outcome);
        } else resolve();
      });
    });
    this.#barrier = { promise, waiting };
    this.#flushSoon();
    return promise;
  }

  /** Calls the listener after each message that was applied, and when the node leaves service or is closed. Returns a function that stops it. */
  onApplied(listener: () => void): () => void {
    this.#reached.add(listener);
    return () => this.#reached.delete(listener);
  }

  /**
   * Resolves with `true` when no command of this node waits for its outcome, or after `timeoutMs` with whether none of those
   * that wait was sent by a caller.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    const until = this.#elapsed() + timeoutMs;
    while (this.#outbox.size > 0 && this.isRunning && this.#elapsed() < until) {
      await new Promise<void>((resolve) => this.#options.clock.setTimeout(resolve, DRAIN_MS));
    }
    return !this.isRunning || !this.#outbox.hasWrites;
  }

  /** Ends this node without a goodbye. Commands that wait are given up. */
  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    this.#status = 'closed';
    this.#stop();
    this.#outbox.close();
    for (const listener of this.#reached) listener();
    this.#reached.clear();
    await this.#options.stream.close();
  }

  #elapsed(): number {
    return elapsedBy(this.#options.clock);
  }

  #hello(): Promise<void> {
    const { name, version, predecessor = null, protocols = PROTOCOLS } = this.#options;
    const { min: minProtocol, max: maxProtocol } = protocols;
    const hello: HelloCommand = { type: 'hello', node: name, version, minProtocol, maxProtocol, predecessor };
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) => {
        if (outcome instanceof Error) {
          reject(this.#failure ?? outcome);
          return;
        }
        if (this.#status === 'joining') this.#status = 'ready';
        resolve();
      };
      this.#outbox.add(hello, settle, true);
      this.#flushSoon();
    });
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    const { schedule = setImmediate } = this.#options;
    schedule(() => {
      this.#isFlushing = false;
      this.#outbox.flush();
    });
  }

  #follow(): void {
    this.#following = this.#options.stream.follow(
      this.machine.sequence,
      (message) => this.#receive(message),
      (error) => this.#fail(error),
    );
  }

  #receive(message: StreamMessage): void {
    // Nothing is received after a stall or a failure; a delivery that was under way is read again.
    if (!this.isRunning || this.machine.isStalled || message.sequence <= this.machine.sequence) return;
    this.#attempt(() => this.machine.apply(message));
  }

  #attempt(apply: () => Applied): void {
    let applied: Applied;
    try {
      applied = apply();
    } catch (thrown) {
      const error = toError(thrown);
      const code = error instanceof ContextCacheError ? error.code : undefined;
      // The one error of the machine itself in the middle of a message is that the stream goes on from another state.
      const isOfReplica = this.machine.isStalled && code !== 'POSITION_UNAVAILABLE';
      if (isOfReplica && PASSING.includes(code)) this.#stalled(error as ContextCacheError);
      else this.#fail(isOfReplica ? failed(error) : error);
      return;
    }
    this.#options.streamClock.set(this.machine.time);
    this.#after(applied);
    for (const listener of this.#reached) listener();
    // After the listeners, which note the cursor: the directory is whole, and a version that understands the protocol goes on with it.
    const unsupported = this.#protocolError();
    if (unsupported !== undefined) this.#fail(unsupported);
  }

  #protocolError(): ContextCacheError | undefined {
    const doing = this.#introduced === undefined ? 'joining' : 'serving';
    return protocolError(this.machine.protocol, this.#options.protocols ?? PROTOCOLS, doing);
  }

  /** Keeps the message that cannot be applied, and reads no further until it can. */
  #stalled(error: ContextCacheError): void {
    this.#following?.stop();
    this.#following = undefined;
    if (this.#status !== 'stalled') this.#options.onStalled(error);
    this.#status = 'stalled';
    this.#stalledBy = error;
    this.#stall = this.#options.clock.setTimeout(() => {
      this.#attempt(() => this.machine.resume());
      if (this.machine.isStalled || !this.isRunning) return;
      this.#status = this.#introduced === undefined ? 'joining' : 'ready';
      this.#stalledBy = undefined;
      this.#follow();
      this.#outbox.flush();
    }, STALL_MS);
  }

  #after({ turn, session, counter }: Applied): void {
    if (session !== this.#outbox.session) return;
    const isApplied = turn === 'applied';
    if (isApplied) this.#introduced = session;
    const sentAt = this.#outbox.seen(counter, isApplied);
    if (isApplied && sentAt !== undefined) this.#freshAt = Math.max(this.#freshAt, sentAt);
    if (turn !== 'gap') return;
    // Forgotten, or its first message had no hello, because that was given up before it was sent.
    const isUnknown = !this.machine.sessions.has(session);
    if (isUnknown && (session === this.#introduced || counter === 1)) this.#renewSession();
    else this.#resendIn(GAP_PAUSE_MS);
  }

  /** Continues in a new session: the stream has forgotten this one, so nothing that is in flight will be applied. */
  #renewSession(): void {
    this.#outbox.restart(this.#options.newSession());
    this.#hello().catch(() => {});
  }

  #resendIn(pauseMs: number): void {
    if (this.#resend !== undefined || !this.isRunning) return;
    this.#resend = this.#options.clock.setTimeout(() => {
      this.#resend = undefined;
      this.#outbox.resend();
    }, pauseMs);
  }

  #watchSoon(): void {
    const { clock } = this.#options;
    this.#watch = clock.setTimeout(() => {
      this.#look();
      if (this.isRunning) this.#watchSoon();
    }, WATCH_MS);
    clock.unref?.(this.#watch);
  }

  #look(): void {
    const { machine } = this;
    if (machine.votes.isVotedOut(this.session, machine.time)) {
      this.#fail(astray());
      return;
    }
    const now = this.#elapsed();
    this.#outbox.expire();
    const { oldestSentAt } = this.#outbox;
    if (oldestSentAt !== undefined && now - oldestSentAt >= RESEND_MS) this.#outbox.resend();
    if (this.#isDue(now)) this.barrier().catch(() => {});
    if (this.stalenessMs >= PROBE_MS) this.#probe(now);
    this.#outbox.flush();
  }

  /** Returns whether this node should speak: something has expired and the stream is silent, or it has long said nothing. */
  #isDue(now: number): boolean {
    if (this.#status !== 'ready' || this.#outbox.size > 0) return false;
    const { replica, streamClock } = this.#options;
    return now - this.#spokeAt >= SILENCE_MS || replica.nextExpiryAt <= streamClock.now();
  }

  /** Asks the stream for its end, to know whether this node is up to date. */
  #probe(now: number): void {
    if (this.#isProbing || !this.#options.stream.connected) return;
    this.#isProbing = true;
    this.#options.stream.info().then(
      (info) => {
        this.#isProbing = false;
        this.#info = info;
        this.#outbox.maxBytes = info.maxBytes;
        // Messages may have come since it answered. A rewound stream is detected by `follow`, which waits until it is certain.
        if (info.isSettled && info.last <= this.machine.sequence) this.#freshAt = Math.max(this.#freshAt, now);
      },
      () => {
        this.#isProbing = false;
      },
    );
  }

  #fail(error: Error): void {
    if (!this.isRunning) return;
    this.#failure = error instanceof ContextCacheError ? error : failed(error);
    this.#status = 'failed';
    this.#stop();
    this.#outbox.close();
    this.#options.onFailed(this.#failure);
    for (const listener of this.#reached) listener();
  }

  #stop(): void {
    const { clock } = this.#options;
    this.#following?.stop();
    for (const timer of [this.#watch, this.#stall, this.#resend]) clock.clearTimeout(timer);
  }
}
