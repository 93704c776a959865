import { OperationWindow } from '../../core/operations.ts';
import { floorAfter, type Remembered, rememberedOf } from '../../core/remembered.ts';
import type { PendingUpdate, Update } from '../../core/update.ts';
import { COMMITS, commitOf } from '../../monitoring/channels.ts';
import { closed, isFollowed, noSuchCheckpoint, notAppended, notEmpty, notHeld } from '../log-errors.ts';
import { type ErrorHandler, LogSignals, throwOutside } from '../log-signals.ts';
import type { FollowerCheckpoint, LogFollower, LogStatus, UpdateLog } from '../update-log.ts';
import { type RingCapacity, UpdateRing } from '../update-ring.ts';
import { MemoryFollower } from './memory-follower.ts';

/** Options of {@link MemoryLog}. */
export interface MemoryLogOptions extends RingCapacity {
  /** Id of this log, different from that of any other. Default: a random UUID. */
  readonly id?: string | undefined;
  /** Receives what a listener throws. Default: thrown outside the log, as an uncaught exception. */
  readonly onError?: ErrorHandler | undefined;
}

const RESOLVED = Promise.resolve();

/** Number of updates that `read` yields at a time. */
const READ_GROUP = 1024;

/**
 * A log in memory: a bounded ring of the latest updates, gone with the process. Commits once per turn of the event
 * loop, in a microtask.
 *
 * A follower that falls behind the ring receives the last update of every key instead of all that the ring has released
 * (`UpdateBatch.skipped` counts the others).
 *
 * @example
 * ```ts
 * const log = new MemoryLog({ capacityUpdates: 1000 });
 * log.onCommit((updates) => console.log(updates.length));
 * const set = { namespace: 'auth', version: 1, operation: 'set', key: 'token', value: 't-1', bytes: 5 } as const;
 * log.append([createUpdate({ ...set, at: clock.now() })]);
 * ```
 */
export class MemoryLog implements UpdateLog {
  readonly id: string;
  readonly durable = false;
  readonly operations = new OperationWindow();
  readonly #signals: LogSignals;
  readonly #ring: UpdateRing;
  readonly #followers = new Map<string, MemoryFollower>();
  readonly #leaving = new Set<(update: Update) => void>();
  #status: LogStatus = 'ready';
  #floor = 0;
  #head = 0;
  #committed = 0;
  /** Appended and not yet committed updates, kept only if a listener needs them. */
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

  get floor(): number {
    return this.#floor;
  }

  append(updates: readonly PendingUpdate[]): void {
    this.#assertOpen();
    if (updates.length === 0) return;
    if (!this.#scheduled) this.#schedule();
    const heard = !this.#signals.commit.isEmpty;
    // Not `for of`, whose compiled form is too large to be inlined.
    for (let i = 0; i < updates.length; i += 1) {
      const update = updates[i] as PendingUpdate;
      this.#head += 1;
      update.position = this.#head;
      this.#ring.push(update);
      if (update.operationId !== undefined) this.operations.add(update);
      if (update.drop) this.#floor = floorAfter(this.#floor, update);
      if (heard) this.#pending.push(update);
    }
    // Releases updates even before they are committed: followers keep what they need of them.
    while (this.#ring.overfull) this.#releaseOldest();
  }

  together(run: () => void): void {
    // Updates that are appended in one turn are committed together.
    run();
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
    // Copied at once: the ring may drop these updates while the reader is slow.
    return inGroups(this.#ring.slice(from, Math.min(to, this.#committed), Number.POSITIVE_INFINITY));
  }

  /** Returns what was appended, committed or not, from one position (not before `first`) to another, both inclusive. */
  recent(from: number, to: number): Update[] {
    return this.#ring.slice(from, to, Number.POSITIVE_INFINITY);
  }

  /** Registers the only listener that is called before updates are released, until it returns `false`. */
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

  /** Calls the listener with each update that is released, in order. The listener must not throw. */
  onRelease(listener: (update: Update) => void): void {
    this.#leaving.add(listener);
  }

  remembered(until: number): Remembered {
    return rememberedOf(this.operations, this.#floor, until);
  }

  async beginAfter(position: number, { operations, floor = 0 }: Remembered = {}): Promise<void> {
    this.#assertOpen();
    if (this.#head !== 0) throw notEmpty(this.#head);
    this.operations.restore(operations);
    this.#floor = floor;
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

  #schedule(): void {
    this.#scheduled = true;
    // Takes a fifth of the time of `queueMicrotask`, which preserves an asynchronous context.
    RESOLVED.then(this.#commitSoon);
  }

  #commit(): void {
    if (!this.#scheduled) return;
    const { commit } = this.#signals;
    const before = this.#committed;
    let updates = this.#pending;
    // A listener was added after the first of these updates had been appended.
    if (!commit.isEmpty && updates.length < this.#head - before) {
      updates = this.#since(before);
    }
    this.#scheduled = false;
    this.#pending = [];
    this.#committed = this.#head;
    this.#settle?.();
    this.#settled = undefined;
    if (COMMITS.isHeard) COMMITS.run(commitOf(this.id, false, this.#since(before)), false, () => commit.emit(updates));
    else commit.emit(updates);
  }

  /** The updates after a position that the ring still holds. */
  #since(position: number): Update[] {
    return this.#ring.slice(Math.max(position + 1, this.first), this.#head, Number.POSITIVE_INFINITY);
  }

  #releaseOldest(): void {
    if (this.#aboutToRelease?.() === false) this.#aboutToRelease = undefined;
    if (this.#followers.size > 0 || this.#leaving.size > 0) this.#announce(this.#ring.at(this.#ring.first));
    this.#ring.drop();
  }

  /** Shows an update that is about to be released to those who need it. */
  #announce(update: Update): void {
    for (const follower of this.#followers.values()) follower.keep(update);
    for (const listener of this.#leaving) listener(update);
  }

  #assertOpen(): void {
    if (this.#status === 'closed') throw closed();
  }
}

async function* inGroups(updates: readonly Update[]): AsyncGenerator<readonly Update[]> {
  for (let i = 0; i < updates.length; i += READ_GROUP) yield updates.slice(i, i + READ_GROUP);
}
