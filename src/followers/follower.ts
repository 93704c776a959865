import { type ActorRefFrom, type AnyActorRef, createActor, fromPromise, waitFor } from 'xstate';
import { type Connected, followerMachine } from '../../machines/follower.ts';
import { backOffMs } from '../core/back-off.ts';
import type { Clock } from '../core/clock.ts';
import type { Report } from '../core/report.ts';
import type { Update } from '../core/update.ts';
import type { FollowerSink, StateCapture } from '../storage/follower-sink.ts';
import type { LogFollower, UpdateBatch, UpdateLog } from '../storage/update-log.ts';
import { weigh } from '../storage/update-ring.ts';

/** How long a follower waits between two tries. */
export interface BackOff {
  /** Milliseconds before the second try. Default 100. */
  readonly initialMs: number;
  /** Milliseconds at the most. Default 5,000. */
  readonly maximumMs: number;
  /** Failures in a row after which it counts as stalled (and goes on trying). Default 10. */
  readonly stalledAfter: number;
}

export const DEFAULT_BACK_OFF: BackOff = { initialMs: 100, maximumMs: 5_000, stalledAfter: 10 };

/** How a follower is doing. */
export interface FollowerHealth {
  readonly name: string;
  readonly state: 'connecting' | 'resyncing' | 'catchingUp' | 'following' | 'backingOff' | 'stalled' | 'stopped';
  /** Position up to which everything is delivered. */
  readonly checkpoint: number;
  /** Committed updates not yet delivered. */
  readonly lag: number;
  /** Failures in a row. */
  readonly attempts: number;
  /** Updates delivered by this process. */
  readonly delivered: number;
  /** Updates that later ones made superfluous before they could be delivered (a log in memory only). */
  readonly skipped: number;
  readonly lastError: string | undefined;
}

/** The connection of a follower to the server that it delivers to. */
export interface FollowerConnection {
  /**
   * - `connecting`: the first connection is being made.
   * - `connected`: the server has answered.
   * - `reconnecting`: an attempt has failed, or the connection was lost; the follower tries again with growing pauses.
   * - `failed`: so many attempts in a row have failed that a person should look; the follower still tries.
   * - `closed`: the follower has stopped.
   */
  readonly state: 'connecting' | 'connected' | 'reconnecting' | 'failed' | 'closed';
  /** When this state began, epoch milliseconds; for `failed`, when the row of failures began. */
  readonly since: number;
  /** The last failure in this process, kept after the follower has recovered; `undefined` if there was none. */
  readonly lastError: { readonly message: string; readonly at: number } | undefined;
}

/** What a follower works with. */
export interface FollowerDeps {
  readonly name: string;
  readonly log: UpdateLog;
  readonly sink: FollowerSink;
  readonly clock: Clock;
  readonly parent: AnyActorRef;
  readonly backOff: BackOff;
  readonly captureState: () => StateCapture;
  readonly report: Report;
  /** Where a follower that is new to the log begins. */
  readonly start: number;
  /** Milliseconds to gather updates before a batch that is not full is delivered; 0: none. */
  readonly lingerMs: number;
  /** Estimated bytes that are delivered without lingering any longer. */
  readonly lingerBytes: number;
}

/** A follower actor: the machine, its place in the log, and the sink it delivers to. */
export class Follower {
  readonly name: string;
  readonly actor: ActorRefFrom<typeof followerMachine>;
  readonly #deps: FollowerDeps;
  readonly #place: LogFollower;
  readonly #stopListening: () => void;
  #delivered = 0;
  #skipped = 0;
  #lingering: unknown;
  #stopping = false;
  /** Everything committed up to here has gathered long enough. */
  #due = 0;
  /** Estimated bytes of what was committed since the last batch. */
  #gathered = 0;
  /** State of the connection while the follower runs, and since when. */
  #connection: Pick<FollowerConnection, 'state' | 'since'>;
  #lastFailure: FollowerConnection['lastError'];
  /**
   * Whether the log began later than this follower: after a restored snapshot, say. Who can copy the whole state does
   * so, others begin where the log does. Once registered, a follower is never left behind.
   */
  #tooLate: boolean;

  constructor(deps: FollowerDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#place = deps.log.follower(deps.name, deps.start);
    this.#tooLate = this.#place.tooLate;
    this.#connection = { state: 'connecting', since: deps.clock.now() };
    this.actor = createActor(this.#machine(), { parent: deps.parent, id: `follower:${deps.name}` } as never);
    this.#stopListening = deps.log.onCommit((updates) => this.#wake(updates));
    deps.sink.onLost?.((cause) => this.actor.send({ type: 'sink.lost', cause }));
    this.actor.start();
  }

  /** Whether its destination gets the updates themselves. The backup only learns how far the log has come. */
  get delivers(): boolean {
    return this.#deps.sink.ignoresUpdates !== true;
  }

  get checkpoint(): number {
    return this.#place.checkpoint;
  }

  get lag(): number {
    return Math.max(0, this.#deps.log.committed - this.#place.checkpoint);
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

  /** How the connection to the destination is. */
  get connection(): FollowerConnection {
    const { state, since } = this.#connection;
    const stalled =
      state === 'reconnecting' && this.actor.getSnapshot().context.attempts >= this.#deps.backOff.stalledAfter;
    return { state: stalled ? 'failed' : state, since, lastError: this.#lastFailure };
  }

  /** Everything up to `position` counts as delivered, though this follower has not seen it. */
  skipTo(position: number): Promise<void> {
    return this.#place.save(position);
  }

  /**
   * Resolves once everything committed at the time of the call is delivered and the destination has been asked where
   * it is. `orAway`: also where nothing is left to deliver to a destination that cannot be reached.
   */
  async caughtUp(signal: AbortSignal, orAway = false): Promise<void> {
    const { committed } = this.#deps.log;
    this.actor.send({ type: 'follower.retry' });
    this.#gatherNoMore();
    const isDone = ({ value }: { readonly value: unknown }) => {
      if (this.#place.checkpoint < committed) return false;
      return value === 'following' || (orAway && (value === 'backingOff' || value === 'stalled'));
    };
    await waitFor(this.actor, isDone, { signal, timeout: Number.POSITIVE_INFINITY });
  }

  /** Ends it; what is not delivered stays in the log. */
  async stop(): Promise<void> {
    this.#stopListening();
    this.#deps.clock.clearTimeout(this.#lingering);
    if (this.actor.getSnapshot().status !== 'active') return;
    this.#stopping = true;
    this.actor.send({ type: 'follower.stop' });
    await waitFor(this.actor, (snapshot) => snapshot.status !== 'active', { timeout: Number.POSITIVE_INFINITY });
    this.#noteConnection('closed');
  }

  /** As {@link stop}, and the log need keep nothing for it. */
  async remove(): Promise<void> {
    await this.stop();
    await this.#place.remove();
  }

  #noteConnection(state: FollowerConnection['state']): void {
    if (this.#connection.state !== state) this.#connection = { state, since: this.#deps.clock.now() };
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
    return lag >= sink.batchSize || this.#gathered >= lingerBytes || this.#place.checkpoint < this.#due;
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
        // The first failure of a row is told; the others show in the health.
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
    const outcome = await this.#deps.sink.connect(this.#place.checkpoint, signal);
    if (!signal.aborted) this.#noteConnection('connected');
    if (outcome === 'resync') return 'resync';
    if (outcome !== 'resume') {
      if (outcome.position > this.#place.checkpoint) await this.#place.save(outcome.position);
      // It says itself that it is no earlier than the log.
      this.#tooLate = false;
    }
    return this.#tooLate && this.#deps.sink.resync !== undefined ? 'resync' : 'follow';
  }

  async #resync(signal: AbortSignal): Promise<void> {
    const cut = this.#deps.captureState();
    this.#place.expose(cut.position);
    try {
      await this.#deps.sink.resync?.(cut, signal);
      await this.#place.save(cut.position);
      this.#tooLate = false;
    } finally {
      cut.close();
    }
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    const { sink, clock } = this.#deps;
    clock.clearTimeout(this.#lingering);
    this.#lingering = undefined;
    this.#gathered = 0;
    const before = this.#place.checkpoint;
    const batch = sink.ignoresUpdates ? this.#allUnread() : await this.#place.read(sink.batchSize);
    if (batch === undefined) return;
    await sink.deliver(batch.updates, batch.through, signal);
    if (signal.aborted) return;
    await this.#place.save(batch.through);
    this.#delivered += batch.through - before - batch.skipped;
    this.#skipped += batch.skipped;
  }
}
