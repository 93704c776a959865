import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../core/clock.ts';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import type { Update } from '../../../core/update.ts';
import { COMMITS, commitOf } from '../../../monitoring/channels.ts';
import { closed, unavailable } from '../../log-errors.ts';

import { type CommitGroup, GroupQueue, type Settings } from './commit-group.ts';
import { CONTINUED, DROPS, encodeFrame, NOTE, OPERATIONS } from './frame.ts';
import type { Notes } from './notes.ts';
import { RetryLoop } from './retry-loop.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { writeUpdate } from './update-record.ts';

/** A caller that waits until a note is written. */
interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Dependencies and callbacks of a {@link GroupWriter}. */
export interface GroupWriterOptions {
  readonly segments: SegmentWriter;
  readonly notes: Notes;
  /** The directory, for messages. */
  readonly path: string;
  readonly clock: Clock;
  committed(): number;
  onCommit(group: CommitGroup): void;
  onStatus(status: 'ready' | 'degraded', cause?: Error): void;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
/** A frame takes no further update beyond these. */
const FRAME_UPDATES = 4096;
const FRAME_BYTES = 1024 * 1024;
/** Checkpoints that nothing else is written with are written after this time. */
const CHECKPOINT_MS = 1000;

/**
 * Writes groups of updates and notes to the log on disk, one write at a time and in order, and recovers after a failure.
 *
 * Invariant: a group leaves the queue only when it is committed. After a failed write the outcome of the first group is not
 * known. Recovery starts a new file right behind the last committed update, which voids the rest of the old file,
 * and writes the whole queue there. So nothing has to be read, and no sync that failed is tried again.
 */
export class GroupWriter {
  readonly queue = new GroupQueue();
  readonly #options: GroupWriterOptions;
  #degraded: Error | undefined;
  #writing: Promise<void> | undefined;
  #recovery: RetryLoop | undefined;
  #closing = false;
  /** `true` once the last note is being written. */
  #hasEnded = false;
  /** Number of tasks that wait until no write is going on. */
  #tasksWaiting = 0;
  /** Callers that wait until a note is written. */
  #noteWaiters: Waiter[] = [];
  #checkpointTimer: unknown;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
  }

  /** The reason why nothing can be written at present; `undefined` if writing works. */
  get degraded(): Error | undefined {
    return this.#degraded;
  }

  /** Adds updates as one unit. */
  add(updates: readonly Update[]): void {
    this.queue.add(updates);
    this.#writing ??= this.#writeAll();
  }

  /**
   * Changes the notes and writes them. Resolves when the disk has them.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE`: nothing has changed; `OUTCOME_UNKNOWN`.
   */
  async writeNotes(change = () => {}): Promise<void> {
    this.#assertReady();
    change();
    if (!this.#options.notes.changed && this.#noteWaiters.length === 0) return;
    const written = new Promise<void>((resolve, reject) => this.#noteWaiters.push({ resolve, reject }));
    this.#writing ??= this.#writeAll();
    await written;
  }

  /**
   * Stores settings together with the updates appended so far: a crash leaves both or neither. If those updates are on disk
   * already, or are being written, the settings follow with the next ones or within a second: a crash in between leaves the
   * updates alone.
   */
  note(settings: Settings): void {
    if (this.queue.note(settings)) return;
    this.#options.notes.setSettings(settings);
    this.writeCheckpoints();
  }

  /** Writes changed checkpoints with the next group, or after a while. */
  writeCheckpoints(): void {
    const { clock } = this.#options;
    if (this.#checkpointTimer !== undefined || this.#closing) return;
    this.#checkpointTimer = clock.setTimeout(() => {
      this.#checkpointTimer = undefined;
      if (this.#degraded === undefined) this.writeNotes().catch(() => undefined);
    }, CHECKPOINT_MS);
    clock.unref?.(this.#checkpointTimer);
  }

  /**
   * Makes everything that was written durable.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE`.
   */
  async flush(): Promise<void> {
    // The end of the log is written only behind a flush.
    await this.#exclusively(() => this.#options.segments.flush());
  }

  /**
   * Starts a new file with the next update.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE`; `CLOSED` if the log was closed meanwhile.
   */
  async roll(): Promise<void> {
    if (!(await this.#exclusively(() => this.#begin()))) throw closed();
  }

  /**
   * Writes what is left, with one more attempt if the storage has failed.
   *
   * @throws {ContextCacheError} `OUTCOME_UNKNOWN` if that fails.
   */
  async close(): Promise<void> {
    this.#closing = true;
    this.#options.clock.clearTimeout(this.#checkpointTimer);
    // None is started while the log closes.
    await this.#recovery?.stop();
    await this.#finishWriting();
    try {
      if (this.#degraded !== undefined && this.queue.count > 0) await this.#recover();
    } catch (thrown) {
      const cause = toError(thrown);
      const lost = `${this.queue.count} updates could not be written to ${this.#options.path}`;
      throw new ContextCacheError('OUTCOME_UNKNOWN', `${lost}: ${cause.message}`, { cause });
    }
    // Tasks that were waiting all the time are too late from here on.
    this.#hasEnded = true;
    if (this.#degraded === undefined) await this.#writeEnd().catch((cause) => this.#degrade(toError(cause)));
  }

  /** Resolves when no write is going on and nothing is left to write. A task between two writes may start the next one. */
  async #finishWriting(): Promise<void> {
    for (;;) {
      if (this.#writing !== undefined) await this.#writing;
      else if (this.#hasWork && this.#degraded === undefined) this.#writing = this.#writeAll();
      else return;
    }
  }

  /**
   * States that everything before it was on disk. This distinguishes damage at the end from a write that was cut off. A log
   * that was only read stays as it is.
   */
  async #writeEnd(): Promise<void> {
    const { segments } = this.#options;
    await segments.flush();
    await this.#writeFrames([], segments.hasWritten);
  }

  async #writeAll(): Promise<void> {
    try {
      // Waits one turn before each write, so that everything that waited for the last write is in the next one.
      for (await nextTurn(); this.#mayWrite; await nextTurn()) await this.#writeNext();
    } catch (thrown) {
      this.#degrade(toError(thrown));
    } finally {
      this.#writing = undefined;
    }
  }

  get #hasWork(): boolean {
    return this.queue.first !== undefined || this.#noteWaiters.length > 0;
  }

  /** `false` also while a task waits: a writer that never pauses must not keep it from running. */
  get #mayWrite(): boolean {
    return this.#hasWork && this.#degraded === undefined && (this.#tasksWaiting === 0 || this.#closing);
  }

  /** Runs a task between two writes. Resolves with `false`, without running it, if the log has ended. */
  async #exclusively(task: () => Promise<void>): Promise<boolean> {
    this.#tasksWaiting += 1;
    while (this.#writing !== undefined) await this.#writing;
    this.#tasksWaiting -= 1;
    this.#assertReady();
    if (this.#hasEnded) return false;
    const running = task();
    this.#writing = running
      .catch((thrown) => this.#degrade(toError(thrown)))
      .finally(() => {
        this.#writing = undefined;
        if (this.#hasWork && this.#degraded === undefined) this.#writing = this.#writeAll();
      });
    await running.catch((thrown) => {
      throw unavailable(this.#options.path, toError(thrown));
    });
    return true;
  }

  #assertReady(): void {
    if (this.#degraded !== undefined) throw unavailable(this.#options.path, this.#degraded);
  }

  async #writeNext(): Promise<void> {
    const { segments } = this.#options;
    if (segments.isFull) await this.#begin();
    const group = this.queue.first;
    const waiters = this.#noteWaiters;
    this.#noteWaiters = [];
    try {
      const write = () => this.#writeGroup(group, waiters.length > 0);
      await (group !== undefined && COMMITS.isHeard ? this.#published(group, write) : write());
    } catch (error) {
      this.#noteWaiters.push(...waiters);
      throw error;
    }
    for (const { resolve } of waiters) resolve();
    if (group !== undefined) this.#commit(group);
  }

  async #writeGroup(group: CommitGroup | undefined, always: boolean): Promise<void> {
    const frames = group === undefined ? [] : await this.#encode(group);
    await this.#writeFrames(frames, always, group?.settings);
  }

  /** Writes a group and publishes that. */
  #published(group: CommitGroup, write: () => Promise<void>): Promise<void> {
    group.sealed = true;
    const { notes } = this.#options;
    return COMMITS.run(commitOf(notes.id, true, group.updates), false, write);
  }

  /** Starts a new file behind the last committed update. */
  async #begin(): Promise<void> {
    const { segments, notes, committed } = this.#options;
    const waiters = this.#noteWaiters;
    this.#noteWaiters = [];
    await segments.begin(committed() + 1, notes.heading(committed())).catch((error) => {
      this.#noteWaiters.push(...waiters);
      throw error;
    });
    for (const { resolve } of waiters) resolve();
  }

  /**
   * Writes the frames of a group, with a note in front if something changed. `always`: writes a note in any case. `settings`: changes
   * that hold from the end of the group on, so that the note belongs to the group.
   */
  async #writeFrames(frames: readonly Buffer[], always: boolean, settings?: Settings): Promise<void> {
    const { segments, notes, committed } = this.#options;
    if (frames.length === 0 && !notes.changed && !always) return;
    if (!notes.changed && !always && settings === undefined) return segments.write(frames, committed() + 1);
    // If this write fails, the new file that recovery starts holds the whole notes in its heading.
    const changes = notes.changes(committed());
    const content = settings === undefined ? changes : { ...changes, settings: { ...changes.settings, ...settings } };
    const flags = settings === undefined ? NOTE : NOTE | CONTINUED;
    const header = { position: committed(), flags, synced: segments.synced, count: 0 };
    const note = encodeFrame(header, (to) => to.value(content));
    await segments.write([note, ...frames], committed() + 1);
  }

  /** Encodes a group in frames of bounded size, with turns of the event loop in between. */
  async #encode(group: CommitGroup): Promise<Buffer[]> {
    group.sealed = true;
    const { updates } = group;
    const { synced } = this.#options.segments;
    const frames: Buffer[] = [];
    for (let start = 0; start < updates.length; ) {
      if (start > 0) await nextTurn();
      let end = start;
      let flags = 0;
      for (let bytes = 0; end < updates.length && bytes < FRAME_BYTES && end - start < FRAME_UPDATES; end += 1) {
        const update = updates[end] as Update;
        bytes += update.bytes;
        if (update.operationId !== undefined) flags |= OPERATIONS;
        if (update.drop) flags |= DROPS;
      }
      if (end < updates.length) flags |= CONTINUED;
      const { position } = updates[start] as Update;
      const from = start;
      frames.push(
        encodeFrame({ position, flags, synced, count: end - from }, (to) => {
          for (let i = from; i < end; i += 1) writeUpdate(to, updates[i] as Update);
        }),
      );
      start = end;
    }
    return frames;
  }

  #commit(group: CommitGroup): void {
    const { notes, onCommit } = this.#options;
    if (group.settings !== undefined) notes.take({ settings: group.settings });
    this.queue.shift();
    onCommit(group);
    if (group.later === undefined) return;
    notes.setSettings(group.later);
    this.writeCheckpoints();
  }

  #degrade(cause: Error): void {
    if (this.#degraded !== undefined) return;
    this.#degraded = cause;
    const unknown = new ContextCacheError(
      'OUTCOME_UNKNOWN',
      `The log failed while writing this update (${cause.message}). It is visible in memory and is written as ` +
        'soon as the storage works again; a crash before that loses it.',
      { cause },
    );
    this.queue.fail(unknown);
    for (const { reject } of this.#noteWaiters.splice(0)) reject(unknown);
    this.#options.onStatus('degraded', cause);
    if (this.#closing) return;
    this.#recovery = new RetryLoop({
      clock: this.#options.clock,
      attempt: () => this.#recover(),
      onFailure: (again) => this.#failAgain(again),
      firstDelayMs: FIRST_RETRY_MS,
      longestDelayMs: LONGEST_RETRY_MS,
    });
    this.#recovery.start();
  }

  /** Reports a failure whose reason differs from the last one. */
  #failAgain(cause: Error): void {
    if (this.#degraded?.message === cause.message) return;
    this.#degraded = cause;
    this.#options.onStatus('degraded', cause);
  }

  async #recover(): Promise<void> {
    // The write loop ends by itself: its write has failed, or it sees `degraded`.
    await this.#finishWriting();
    await this.#begin();
    while (this.queue.first !== undefined) await this.#writeNext();
    this.#degraded = undefined;
    this.#recovery = undefined;
    this.#options.onStatus('ready');
  }
}
