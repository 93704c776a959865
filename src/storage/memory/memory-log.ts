import type { PendingUpdate, Update } from '../../core/update.ts';
import { closed, isFollowed, noSuchCheckpoint, notAppended, notEmpty, notHeld } from '../log-errors.ts';
import { type ErrorHandler, LogSignals, throwOutside } from '../log-signals.ts';
import type { FollowerCheckpoint, LogFollower, LogStatus, UpdateLog } from '../update-log.ts';
import { type RingCapacity, UpdateRing } from '../update-ring.ts';
import { MemoryFollower } from './memory-follower.ts';

/** Options of {@link MemoryLog}. */
export interface MemoryLogOptions extends RingCapacity {
  /** Id of this log, unlike that of any other. Default: a random UUID. */
  readonly id?: string | undefined;
  /** Takes what a listener throws. Default: it is thrown outside the log, as an uncaught exception. */
  readonly onError?: ErrorHandler | undefined;
}

const RESOLVED = Promise.resolve();

/** How many updates `read` yields at a time. */
const READ_GROUP = 1024;

/**
 * A log in memory: a bounded ring of the latest updates, gone with the process. Commits once per turn of the event
 * loop, in a microtask.
 *
 * A follower that falls behind the ring gets, in place of what the ring has let go, the last update of every key
 * (`UpdateBatch.skipped` counts the others).
 *
 * @example
 * ```ts
 * const log = new MemoryLog({ capacityUpdates: 1000 });
 * log.onCommit((updates) => console.log(updates.length));
 * log.append([createUpdate('auth', 1, 'set', 'token', 't-1', clock.now(), null, null, 0, false, 5)]);
 * ```
 */
export class MemoryLog implements UpdateLog {
  readonly id: string;
  readonly durable = false;
  readonly #signals: LogSignals;
  readonly #ring: UpdateRing;
  readonly #followers = new Map<string, MemoryFollower>();
  readonly #leaving = new Set<(update: Update) => void>();
  #status: LogStatus = 'ready';
  #head = 0;
  #committed = 0;
  /** What has been appended and not committed, where somebody listens for that. */
  #pending: Update[] = [];
  #scheduled = false;
  #settled: Promise<void> | undefined;
  #settle: (() => void) | undefined;
  #aboutToRelease: (() => boolean) | undefined;
  readonly #commitSoon = () => this.#commit();

  constructor(options: MemoryLogOptions = {}) {
    this.id = options.id ?? crypto.randomUUID();
    this.#signals = new LogSignals(options.onError ?? throwOutside);
    this.#ring = new UpdateRing(0, options);
  }

  get status(): LogStatus {
    return this.#status;
  }

  get head(): number {
    return this.#head;
  }

  get committed(): number {
    return this.#committed;
  }

  get first(): number {
    return this.#ring.first;
  }

  append(updates: readonly PendingUpdate[]): void {
    this.#assertOpen();
    if (updates.length === 0) return;
    if (!this.#scheduled) {
      this.#scheduled = true;
      // A fifth of what queueMicrotask takes, which keeps an asynchronous context for it.
      RESOLVED.then(this.#commitSoon);
    }
    const heard = !this.#signals.commit.isEmpty;
    for (const update of updates) {
      this.#head += 1;
      update.position = this.#head;
      this.#ring.push(update);
      if (heard) this.#pending.push(update);
    }
    // What nobody has been told of yet goes as well: those who follow keep what they need of it.
    while (this.#ring.overfull) this.#releaseOldest();
  }

  whenCommitted(position: number): Promise<void> | undefined {
    if (position <= this.#committed) return undefined;
    if (position > this.#head) throw notAppended(position, this.#head);
    this.#settled ??= new Promise((resolve) => {
      this.#settle = resolve;
    });
    return this.#settled;
  }

  async flush(): Promise<void> {
    await this.whenCommitted(this.#head);
  }

  onCommit(listener: (updates: readonly Update[]) => void): () => void {
    return this.#signals.commit.add(listener);
  }

  onStatus(listener: (status: LogStatus, cause?: Error) => void): () => void {
    return this.#signals.status.add(listener);
  }

  read(from: number, to = this.#committed): AsyncIterable<readonly Update[]> {
    this.#assertOpen();
    if (from < this.first) throw notHeld(from, this.first);
    // Taken at once: the ring may let go of it while the reader takes its time.
    return inGroups(this.#ring.slice(from, Math.min(to, this.#committed), Number.POSITIVE_INFINITY));
  }

  /** What has been appended, committed or not, from one position (not before `first`) to another, both inclusive. */
  recent(from: number, to: number): Update[] {
    return this.#ring.slice(from, to, Number.POSITIVE_INFINITY);
  }

  /** Calls back before the log lets go of updates, as long as the listener says that it wants to know. One listener. */
  beforeRelease(listener: () => boolean): void {
    this.#aboutToRelease = listener;
  }

  follower(name: string, start = 0): LogFollower {
    const known = this.#followers.get(name);
    if (known !== undefined) return known;
    const follower = new MemoryFollower(name, start, this.first - 1, {
      ring: this.#ring,
      head: () => this.#head,
      committed: () => this.#committed,
      assertOpen: () => this.#assertOpen(),
      remove: () => this.#followers.delete(name),
    });
    this.#followers.set(name, follower);
    return follower;
  }

  checkpoints(): FollowerCheckpoint[] {
    return Array.from(this.#followers.values(), ({ name, checkpoint }) => ({ name, checkpoint, registered: true }));
  }

  async forget(name: string): Promise<void> {
    throw this.#followers.has(name) ? isFollowed(name) : noSuchCheckpoint(name);
  }

  async trim(position: number): Promise<void> {
    this.#assertOpen();
    const last = Math.min(position, this.#committed);
    while (this.#ring.first <= last) this.#releaseOldest();
  }

  /** Called with each update, in order, when it is let go of. What it does must not fail. */
  onRelease(listener: (update: Update) => void): void {
    this.#leaving.add(listener);
  }

  async beginAfter(position: number): Promise<void> {
    this.#assertOpen();
    if (this.#head !== 0) throw notEmpty(this.#head);
    this.#ring.beginAfter(position);
    this.#head = position;
    this.#committed = position;
    for (const follower of this.#followers.values()) follower.beginAfter(position);
  }

  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    this.#commit();
    this.#status = 'closed';
    this.#signals.status.emit('closed');
  }

  #commit(): void {
    if (!this.#scheduled) return;
    const { commit } = this.#signals;
    const before = this.#committed;
    let updates = this.#pending;
    // Somebody began to listen after the first of them.
    if (!commit.isEmpty && updates.length < this.#head - before) {
      updates = this.#ring.slice(Math.max(before + 1, this.first), this.#head, Number.POSITIVE_INFINITY);
    }
    this.#scheduled = false;
    this.#pending = [];
    this.#committed = this.#head;
    this.#settle?.();
    this.#settled = undefined;
    commit.emit(updates);
  }

  #releaseOldest(): void {
    if (this.#aboutToRelease?.() === false) this.#aboutToRelease = undefined;
    if (this.#followers.size > 0 || this.#leaving.size > 0) {
      const update = this.#ring.at(this.#ring.first);
      for (const follower of this.#followers.values()) follower.keep(update);
      for (const listener of this.#leaving) listener(update);
    }
    this.#ring.drop();
  }

  #assertOpen(): void {
    if (this.#status === 'closed') throw closed();
  }
}

async function* inGroups(updates: readonly Update[]): AsyncGenerator<readonly Update[]> {
  for (let i = 0; i < updates.length; i += READ_GROUP) yield updates.slice(i, i + READ_GROUP);
}
