import { type ActorRefFrom, type AnyActorRef, createActor, fromPromise, waitFor } from 'xstate';
import { type Connected, followerMachine } from '../../machines/follower.ts';
import { backOffMs } from '../core/back-off.ts';
import type { Clock } from '../core/clock.ts';
import type { Report } from '../core/report.ts';
import type { Update } from '../core/update.ts';
import { CONNECTS, DELIVERIES, type DeliveryFields, tracesOf } from '../monitoring/channels.ts';
import type { Reporter } from '../monitoring/reporter.ts';
import type { FollowerSink, StateCapture } from '../storage/follower-sink.ts';
import type { LogFollower, UpdateBatch, UpdateLog } from '../storage/update-log.ts';
import { weigh } from '../storage/update-ring.ts';

/** The pauses of a follower between two attempts. */
export interface BackOff {
  /** Milliseconds before the second attempt; doubles with each further failure. Default 100. */
  readonly initialMs: number;
  /** Longest pause in milliseconds. Default 5,000. */
  readonly maximumMs: number;
  /** Number of failures in a row after which the follower counts as stalled; it still tries. Default 10. */
  readonly stalledAfter: number;
}

export const DEFAULT_BACK_OFF: BackOff = { initialMs: 100, maximumMs: 5_000, stalledAfter: 10 };

/** The condition of a follower. */
export interface FollowerHealth {
  readonly name: string;
  readonly state: 'connecting' | 'resyncing' | 'catchingUp' | 'following' | 'backingOff' | 'stalled' | 'stopped';
  /** Position up to which it has delivered everything. */
  readonly checkpoint: number;
  /** Number of committed updates that are not delivered yet. */
  readonly lag: number;
  /** Number of failures in a row. */
  readonly attempts: number;
  /** Number of updates that this process has delivered. */
  readonly delivered: number;
  /** Number of updates that later ones replaced before they could be delivered; only with a log in memory. */
  readonly skipped: number;
  readonly lastError: string | undefined;
}

/** The connection of a follower to the server that it delivers to. */
export interface FollowerConnection {
  /**
   * - `connecting`: the first connection is being made.
   * - `connected`: the server has answered.
   * - `reconnecting`: an attempt has failed, or the connection was lost; the follower tries again with growing pauses.
   * - `failed`: `stalledAfter` attempts in a row have failed; the follower still tries.
   * - `closed`: the follower has stopped.
   */
  readonly state: 'connecting' | 'connected' | 'reconnecting' | 'failed' | 'closed';
  /** When this state began, epoch milliseconds; for `failed`, when the row of failures began. */
  readonly since: number;
  /** The last failure in this process, kept after the follower has recovered; `undefined` if there was none. */
  readonly lastError: { readonly message: string; readonly at: number } | undefined;
}

/** Options of {@link Follower}. */
export interface FollowerDeps {
  readonly name: string;
  readonly log: UpdateLog;
  readonly sink: FollowerSink;
  readonly clock: Clock;
  readonly parent: AnyActorRef;
  readonly backOff: BackOff;
  readonly captureState: () => StateCapture;
  readonly report: Report;
  /** Takes log lines, and says what may be published. Default: no lines, no details. */
  readonly reporter?: Pick<Reporter, 'details' | 'log'> | undefined;
  /** Position after which a follower begins that is new to the log. */
  readonly start: number;
  /** Milliseconds that a batch waits for more updates unless it is full; 0: it does not wait. */
  readonly lingerMs: number;
  /** Estimated bytes that end the waiting. */
  readonly lingerBytes: number;
}

/** A follower actor: the machine, its checkpoint in the log, and the sink that it delivers to. */
export class Follower {
  readonly name: string;
  readonly actor: ActorRefFrom<typeof followerMachine>;
  readonly #deps: FollowerDeps;
  readonly #inLog: LogFollower;
  readonly #stopListening: () => void;
  #delivered = 0;
  #skipped = 0;
  #lingering: unknown;
  #stopping = false;
  /** Position up to which updates have waited long enough. */
  #due = 0;
  /** Estimated bytes of the updates that were committed since the last batch. */
  #gathered = 0;
  /** State of the connection while the follower runs, and since when. */
  #connection: Pick<FollowerConnection, 'state' | 'since'>;
  #lastFailure: FollowerConnection['lastError'];
  /**
   * `true` if the log begins after the checkpoint of this follower, as after a restored snapshot. A sink that can copy the
   * whole state does so; others begin at the start of the log. The log keeps what a registered follower still needs.
   */
  #tooLate: boolean;

  constructor(deps: FollowerDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#inLog = deps.log.follower(deps.name, deps.start);
    this.#tooLate = this.#inLog.tooLate;
    this.#connection = { state: 'connecting', since: deps.clock.now() };
    this.actor = createActor(this.#machine(), { parent: deps.parent, id: `follower:${deps.name}` } as never);
    this.#stopListening = deps.log.onCommit((updates) => this.#wake(updates));
    deps.sink.onLost?.((cause) => this.actor.send({ type: 'sink.lost', cause }));
    this.actor.start();
  }

  /** `true` if its destination gets the updates. The backup only learns how far the log has come. */
  get delivers(): boolean {
    return this.#deps.sink.ignoresUpdates !== true;
  }

  get checkpoint(): number {
    return this.#inLog.checkpoint;
  }

  get lag(): number {
    return Math.max(0, this.#deps.log.committed - this.#inLog.checkpoint);
  }

  get health(): FollowerHealth {
    const { value, context } = this.actor.getSnapshot();
    return {
      name: this.name,
      state: value === 'failed' ? 'backingOff' : value === 'stopping' ? 'stopped' : value,
      checkpoint: this.checkpoint,
      lag: this.lag,
      attempts: context.attempts,
      delivered: this.#delivered,
      skipped: this.#skipped,
      lastError: context.attempts > 0 ? context.lastError?.message : undefined,
    };
  }

  /** The connection to the destination. */
  get connection(): FollowerConnection {
    const { state, since } = this.#connection;
    const stalled =
      state === 'reconnecting' && this.actor.getSnapshot().context.attempts >= this.#deps.backOff.stalledAfter;
    return { state: stalled ? 'failed' : state, since, lastError: this.#lastFailure };
  }

  /** Moves the checkpoint to `position`, as if everything up to there were delivered. */
  skipTo(position: number): Promise<void> {
    return this.#inLog.save(position);
  }

  /**
   * Resolves once everything committed at the time of the call is delivered and the destination is connected. With
   * `orAway` the destination may be unreachable if nothing is left to deliver.
   */
  async caughtUp(signal: AbortSignal, orAway = false): Promise<void> {
    const { committed } = this.#deps.log;
    this.actor.send({ type: 'follower.retry' });
    this.#gatherNoMore();
    const isDone = ({ value }: { readonly value: unknown }) => {
      if (this.#inLog.checkpoint < committed) return false;
      return value === 'following' || (orAway && (value === 'backingOff' || value === 'stalled'));
    };
    await waitFor(this.actor, isDone, { signal, timeout: Number.POSITIVE_INFINITY });
  }

  /** Stops the follower. Updates that are not delivered stay in the log. */
  async stop(): Promise<void> {
    this.#stopListening();
    this.#deps.clock.clearTimeout(this.#lingering);
    if (this.actor.getSnapshot().status !== 'active') return;
    this.#stopping = true;
    this.actor.send({ type: 'follower.stop' });
    await waitFor(this.actor, (snapshot) => snapshot.status !== 'active', { timeout: Number.POSITIVE_INFINITY });
    this.#noteConnection('closed');
  }

  /** Stops the follower and removes its checkpoint, so that the log keeps nothing for it. */
  async remove(): Promise<void> {
    await this.stop();
    await this.#inLog.remove();
  }

  #noteConnection(state: FollowerConnection['state']): void {
    if (this.#connection.state !== state) this.#connection = { state, since: this.#deps.clock.now() };
  }

  #isConnected(): void {
    if (this.#connection.state === 'connected') return;
    this.#noteConnection('connected');
    this.#deps.reporter?.log('info', { source: this.name }, `Connected; continues from position ${this.checkpoint}.`);
  }

  /** True if errors may be published. */
  get #details(): boolean {
    return this.#deps.reporter?.details === true;
  }

  #allUnread(): UpdateBatch {
    return { updates: [], through: this.#deps.log.committed, skipped: 0 };
  }

  #wake(updates: readonly Update[]): void {
    if (this.#deps.lingerMs > 0) for (const update of updates) this.#gathered += weigh(update);
    if (this.actor.getSnapshot().value !== 'following') return;
    if (this.#isDue()) this.actor.send({ type: 'log.advanced' });
    else this.#gather();
  }

  #isDue(): boolean {
    const { lag } = this;
    const { lingerMs, lingerBytes, sink } = this.#deps;
    if (lag === 0 || lingerMs === 0) return lag > 0;
    return lag >= sink.batchSize || this.#gathered >= lingerBytes || this.#inLog.checkpoint < this.#due;
  }

  #gather(): void {
    if (this.lag === 0) return;
    this.#lingering ??= this.#deps.clock.setTimeout(() => this.#gatherNoMore(), this.#deps.lingerMs);
  }

  #gatherNoMore(): void {
    this.#due = this.#deps.log.committed;
    this.actor.send({ type: 'log.advanced' });
  }

  #machine(): typeof followerMachine {
    const { sink, backOff, report } = this.#deps;
    return followerMachine.provide({
      actors: {
        connect: fromPromise(({ signal }) => this.#connect(signal)),
        resync: fromPromise(({ signal }) => this.#resync(signal)),
        deliver: fromPromise(({ signal }) => this.#deliver(signal)),
        disconnect: fromPromise(() => sink.disconnect(this.#stopping)),
      },
      guards: {
        isDue: () => this.#isDue(),
        isStalled: ({ context }) => context.attempts >= backOff.stalledAfter,
      },
      delays: {
        backOff: ({ context }) => backOffMs(context.attempts, backOff.initialMs, backOff.maximumMs),
      },
      actions: {
        gather: () => this.#gather(),
        // Reports the first failure of a row; the health shows the others.
        reportFailure: ({ context }) => {
          this.#noteConnection('reconnecting');
          if (context.lastError) this.#lastFailure = { message: context.lastError.message, at: this.#deps.clock.now() };
          if (context.attempts === 1 && context.lastError) report(context.lastError, { source: this.name });
        },
        reportStalled: ({ context }) => {
          if (context.attempts === backOff.stalledAfter && context.lastError)
            report(context.lastError, { source: this.name });
        },
      },
    });
  }

  async #connect(signal: AbortSignal): Promise<Connected> {
    const connect = () => this.#deps.sink.connect(this.#inLog.checkpoint, signal);
    const attempt = this.actor.getSnapshot().context.attempts + 1;
    this.#deps.reporter?.log('debug', { source: this.name }, `Connecting, attempt ${attempt}.`);
    const outcome = CONNECTS.isHeard
      ? await CONNECTS.run({ log: this.#deps.log.id, follower: this.name, attempt }, this.#details, connect)
      : await connect();
    if (!signal.aborted) this.#isConnected();
    if (outcome === 'resync') return 'resync';
    if (outcome !== 'resume') {
      if (outcome.position > this.#inLog.checkpoint) await this.#inLog.save(outcome.position);
      // The destination has reported a position that the log still holds.
      this.#tooLate = false;
    }
    return this.#tooLate && this.#deps.sink.resync !== undefined ? 'resync' : 'follow';
  }

  /** Publishes a delivery while the channel has subscribers. */
  #published(
    kind: DeliveryFields['kind'],
    updates: readonly Update[],
    through: number,
    deliver: () => Promise<void> | undefined,
  ): Promise<void> | undefined {
    if (!DELIVERIES.isHeard) return deliver();
    const fields = { log: this.#deps.log.id, follower: this.name, kind, updates: updates.length, through };
    return DELIVERIES.run({ ...fields, traces: tracesOf(updates) }, this.#details, deliver);
  }

  async #resync(signal: AbortSignal): Promise<void> {
    const capture = this.#deps.captureState();
    this.#inLog.expose(capture.position);
    try {
      await this.#published('resync', [], capture.position, () => this.#deps.sink.resync?.(capture, signal));
      await this.#inLog.save(capture.position);
      this.#tooLate = false;
    } finally {
      capture.close();
    }
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    const { sink, clock } = this.#deps;
    clock.clearTimeout(this.#lingering);
    this.#lingering = undefined;
    this.#gathered = 0;
    const before = this.#inLog.checkpoint;
    const batch = sink.ignoresUpdates ? this.#allUnread() : await this.#inLog.read(sink.batchSize);
    if (batch === undefined) return;
    const { updates, through } = batch;
    await this.#published('batch', updates, through, () => sink.deliver(updates, through, signal));
    if (signal.aborted) return;
    await this.#inLog.save(batch.through);
    this.#delivered += batch.through - before - batch.skipped;
    this.#skipped += batch.skipped;
  }
}
