import type { PendingUpdate, Update } from '../core/update.ts';
import { CommitGroup } from './commit-group.ts';
import { closed, isFollowed, noSuchPlace, notAppended, notEmpty, notHeld } from './log-errors.ts';
import { type ErrorHandler, LogSignals, throwOutside } from './log-signals.ts';
import { MemoryFollower } from './memory-follower.ts';
import type { FollowerPlace, LogFollower, LogStatus, UpdateLog } from './update-log.ts';
import { type RingCapacity, UpdateRing } from './update-ring.ts';

/** Options of {@link MemoryLog}. */
export interface MemoryLogOptions extends RingCapacity {
  /** Id of this log, unlike that of any other. Default: a random UUID. */
  readonly id?: string | undefined;
  /** Takes what a listener throws. Default: it is thrown outside the log, as an uncaught exception. */
  readonly onError?: ErrorHandler | undefined;
}

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
  #group: CommitGroup | undefined;
  #lettingGo: (() => boolean) | undefined;

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
    if (this.#group === undefined) {
      this.#group = new CommitGroup();
      queueMicrotask(() => this.#commit());
    }
    for (const update of updates) {
      this.#head += 1;
      update.position = this.#head;
      this.#group.add(update);
    }
  }

  whenCommitted(position: number): Promise<void> | undefined {
    if (position <= this.#committed) return undefined;
    if (this.#group !== undefined && position <= this.#head) return this.#group.whenSettled();
    throw notAppended(position, this.#head);
  }

  async flush(): Promise<void> {
    await this.#group?.whenSettled();
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
    const updates = from > this.#committed ? [] : this.#ring.slice(from, Math.min(to, this.#committed), to - from + 1);
    for (const update of this.#group?.updates ?? []) {
      if (update.position >= from && update.position <= to) updates.push(update);
    }
    return updates;
  }

  /** Calls back before the log lets go of updates, as long as the listener says that it wants to know. One listener. */
  onLettingGo(listener: () => boolean): void {
    this.#lettingGo = listener;
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

  places(): FollowerPlace[] {
    return Array.from(this.#followers.values(), ({ name, checkpoint }) => ({ name, checkpoint, registered: true }));
  }

  async forget(name: string): Promise<void> {
    throw this.#followers.has(name) ? isFollowed(name) : noSuchPlace(name);
  }

  async trim(position: number): Promise<void> {
    this.#assertOpen();
    const last = Math.min(position, this.#committed);
    if (this.#ring.first <= last) this.#tellLettingGo();
    while (this.#ring.first <= last) this.#letGo(this.#ring.shift());
  }

  /** Called with each update, in order, when it is let go of. What it does must not fail. */
  onLetGo(listener: (update: Update) => void): void {
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
    const group = this.#group;
    if (group === undefined) return;
    if (this.#lettingGo !== undefined && !this.#ring.fits(group.updates)) this.#tellLettingGo();
    this.#group = undefined;
    for (const update of group.updates) {
      this.#ring.push(update);
      while (this.#ring.overfull) this.#letGo(this.#ring.shift());
    }
    this.#committed = group.last;
    group.commit();
    this.#signals.commit.emit(group.updates);
  }

  #tellLettingGo(): void {
    if (this.#lettingGo?.() === false) this.#lettingGo = undefined;
  }

  #letGo(update: Update): void {
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
