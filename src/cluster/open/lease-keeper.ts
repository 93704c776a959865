import type { Clock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { type Engine, FOLLOWER } from '../../engine/engine.ts';
import { inTime } from '../../engine/in-time.ts';
import type { LeftUndone } from '../../engine/sequencer.ts';
import type { CommandStream } from '../command-stream.ts';
import type { Outcome } from '../machine/machine.ts';
import type { ClusterNode } from '../node.ts';
import type { StreamClock } from '../stream-clock.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { StreamPurge } from './stream-purge.ts';

/** Milliseconds of the stream's time that a lease lasts. A node that was killed is replaced after so long. */
const LEASE_MS = 10_000;
/** A lease with less than this left is renewed. */
const RENEW_MS = 6_000;
/** Milliseconds between two looks at the leases. */
const TICK_MS = 1_000;
/** Part of the time of a shutdown that the followers have. */
const FOLLOWERS_SHARE = 0.75;

/** The parts of a {@link LeaseKeeper}. */
export interface LeaseKeeperDeps {
  readonly node: ClusterNode;
  readonly parts: Engine;
  readonly stream: CommandStream;
  readonly settings: ClusterSettings;
  readonly clock: Clock;
  readonly streamClock: StreamClock;
}

/**
 * Runs what only one node runs (mirror, broadcaster, snapshots) while this node holds its lease, and discards the messages of the
 * stream that the snapshots hold. A node that was paused ends its work when it wakes and sees that its lease is over. What it
 * does until then is harmless: the mirror refuses positions that it has and a writer that lost its claim, messages of the
 * broadcast repeat with their ids, and a snapshot that another one damages is not whole and not used.
 */
export class LeaseKeeper {
  readonly #deps: LeaseKeeperDeps;
  readonly #purge: StreamPurge;
  /** Work that this node does now. */
  readonly #running = new Set<string>();
  /** Leases that this node has asked for and has no answer about. */
  readonly #asking = new Set<string>();
  #timer: unknown;
  #isClosed = false;
  /** Settles with the last change of what runs. */
  #changed: Promise<void> = Promise.resolve();

  constructor(deps: LeaseKeeperDeps) {
    this.#deps = deps;
    this.#purge = new StreamPurge({ ...deps, isHolder: () => this.#running.has(FOLLOWER.backup) });
  }

  /** Begins: registers the followers with the log, so that it keeps what their holder has not delivered, and takes free leases. */
  start(): void {
    const { node } = this.#deps;
    node.onApplied(() => this.#follow());
    this.#tick();
  }

  /** Why the stream cannot be purged at present; `undefined` if the last purge succeeded. */
  get problem(): Error | undefined {
    return this.#running.has(FOLLOWER.backup) ? this.#purge.problem : undefined;
  }

  /** Looks at the leases now. */
  look(): void {
    if (!this.#isClosed) this.#look();
  }

  /**
   * Ends the work of this node within `timeoutMs`, and returns its leases. Resolves with what the followers could not deliver.
   * Of the time a quarter is left for the leases: if they are returned too late, the next holder has to wait until they end.
   */
  async close(timeoutMs: number): Promise<LeftUndone['undelivered']> {
    this.#isClosed = true;
    const { clock, node, parts } = this.#deps;
    clock.clearTimeout(this.#timer);
    const over = new AbortController();
    const timer = clock.setTimeout(() => over.abort(timedOut()), timeoutMs * FOLLOWERS_SHARE);
    try {
      await inTime(this.#changed, over.signal);
      const running = [...this.#running];
      const left = await parts.followers.drain(over.signal);
      for (const name of running) this.#checkpoint(name);
      await inTime(Promise.all(running.map((name) => this.#run(name, false))), over.signal);
      for (const name of running) {
        if (node.status === 'ready') node.submit({ type: 'lease', name, forMs: 0 }, () => {}, true);
      }
      return left.filter(({ follower }) => running.includes(follower));
    } finally {
      clock.clearTimeout(timer);
    }
  }

  #tick(): void {
    const { clock } = this.#deps;
    this.#look();
    this.#timer = clock.setTimeout(() => this.#tick(), TICK_MS);
    clock.unref?.(this.#timer);
  }

  #look(): void {
    const { node, parts } = this.#deps;
    this.#register();
    for (const name of parts.duties) {
      const mine = this.#isMine(name);
      if (mine !== this.#running.has(name)) this.#change(name, mine);
      if (node.status === 'ready') this.#claim(name);
      if (mine) this.#checkpoint(name);
    }
    if (this.#running.has(FOLLOWER.backup)) {
      this.#purge.look();
      this.#takeAsked();
    }
  }

  #isMine(name: string): boolean {
    const { node, streamClock } = this.#deps;
    const isServing = node.status === 'ready' || node.status === 'stalled';
    return isServing && node.machine.leases.held(name, streamClock.now())?.session === node.session;
  }

  /** Takes a free lease, renews an own one, and returns one that is not needed any more. */
  #claim(name: string): void {
    const { node, streamClock } = this.#deps;
    const lease = node.machine.leases.held(name, streamClock.now());
    const isOwn = lease?.session === node.session;
    const isWanted = this.#isWanted(name);
    const isDue = lease === undefined ? isWanted : isOwn && (!isWanted || lease.until - streamClock.now() < RENEW_MS);
    if (!isDue || this.#asking.has(name)) return;
    this.#asking.add(name);
    const settle = (outcome: Outcome) => {
      this.#asking.delete(name);
      // Not in the middle of the message, whose state no snapshot must show. After a failure the next tick asks again.
      if (!(outcome instanceof Error)) queueMicrotask(() => this.look());
    };
    node.submit({ type: 'lease', name, forMs: isWanted ? LEASE_MS : 0 }, settle, true);
  }

  #isWanted(name: string): boolean {
    const { parts, settings } = this.#deps;
    if (name === FOLLOWER.broadcaster) return parts.topics.size > 0;
    return name !== FOLLOWER.backup || parts.backup?.isEnabled() === true || settings.snapshots.open.length > 0;
  }

  /** Starts or ends work, after earlier changes. */
  #change(name: string, isHeld: boolean): void {
    if (isHeld) this.#running.add(name);
    else this.#running.delete(name);
    this.#changed = this.#changed.then(() => this.#run(name, isHeld));
  }

  async #run(name: string, isHeld: boolean): Promise<void> {
    const { parts } = this.#deps;
    if (!isHeld) this.#running.delete(name);
    await parts.assign(name, isHeld).catch((error) => parts.report(toError(error), { source: name }));
  }

  /** Tells the others how far a follower has come. */
  #checkpoint(name: string): void {
    const { node, parts } = this.#deps;
    const position = parts.followers.get(name)?.checkpoint ?? 0;
    if (name === FOLLOWER.backup || node.status !== 'ready') return;
    if (position > node.machine.leases.checkpointOf(name)) {
      node.submit({ type: 'checkpoint', name, position }, () => {});
    }
  }

  /** Takes in how far the holders have come, so that the log of this node need not keep more. */
  #follow(): void {
    const { node, parts } = this.#deps;
    if (!node.isRunning) return;
    for (const name of this.#followers()) {
      if (this.#running.has(name) || !this.#isWanted(name) || parts.log.status === 'closed') continue;
      const follower = parts.log.follower(name, this.#startOf(name));
      const position = Math.min(node.machine.leases.checkpointOf(name), parts.log.head);
      if (position > follower.checkpoint) follower.save(position).catch(() => undefined);
    }
  }

  /**
   * Registers the followers that run on another node, so that the log of this node keeps what they have not delivered. Without
   * topics there is no broadcaster, and the log keeps nothing for it.
   */
  #register(): void {
    const { log, followers } = this.#deps.parts;
    if (log.status === 'closed') return;
    const known = new Map(log.checkpoints().map(({ name, registered }) => [name, registered]));
    for (const name of this.#followers()) {
      // The follower that runs here has registered itself.
      if (this.#running.has(name) || followers.get(name) !== undefined) continue;
      const registered = known.get(name);
      if (this.#isWanted(name)) log.follower(name, this.#startOf(name));
      else if (registered !== undefined) {
        const removed = registered ? log.follower(name).remove() : log.forget(name);
        removed.catch((error) => this.#deps.parts.report(toError(error), { source: name }));
      }
    }
  }

  /** Position after which a follower starts that is new to the log: topics get no updates from before they were added. */
  #startOf(name: string): number {
    const { node, parts } = this.#deps;
    const oldest = Math.min(...parts.topics.entries().map(({ since }) => since));
    const checkpoint = node.machine.leases.checkpointOf(name);
    return Math.min(parts.log.head, name === FOLLOWER.broadcaster ? Math.max(checkpoint, oldest) : checkpoint);
  }

  /** Names of the work that follows the log. */
  #followers(): string[] {
    return this.#deps.parts.duties.filter((name) => name !== FOLLOWER.backup);
  }

  /** Takes a snapshot for the nodes that have asked for one. */
  #takeAsked(): void {
    const { settings, parts } = this.#deps;
    settings.snapshots.clean();
    settings.snapshots.take(
      () => parts.backup?.backupNow() ?? Promise.reject(new Error('There is no store of snapshots.')),
    );
  }
}

function timedOut(): ContextCacheError {
  return new ContextCacheError('TIMED_OUT', 'The shutdown ran out of time. Give a longer timeoutMs.');
}
