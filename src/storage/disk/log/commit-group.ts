import type { Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import { weigh } from '../../update-ring.ts';

/** Settings that change; `null` removes one. */
export type Settings = Readonly<Record<string, JsonValue | null>>;

/** Updates that are committed together, and the promise of those that wait for it. */
export class CommitGroup {
  readonly updates: Update[] = [];
  /** Estimated bytes of the updates. */
  bytes = 0;
  /** `true` once it is being written: it then accepts no more updates. */
  sealed = false;
  /** Settings that are written with the group: both are in the log or neither. */
  settings: Settings | undefined;
  /** Settings that hold from the end of the group on, and came after it was sealed. */
  later: Settings | undefined;
  #outcome: 'open' | 'committed' | Error = 'open';
  #settled: Promise<void> | undefined;
  #resolve: (() => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  /** Position of the last update; 0 for an empty group. */
  get last(): number {
    return this.updates.at(-1)?.position ?? 0;
  }

  add(update: Update): void {
    this.updates.push(update);
    this.bytes += weigh(update);
  }

  /** Returns a promise that settles with the group; all waiters share it. Its rejection may stay unhandled. */
  whenSettled(): Promise<void> {
    if (this.#settled === undefined) {
      const outcome = this.#outcome;
      this.#settled = new Promise((resolve, reject) => {
        if (outcome === 'committed') resolve();
        else if (outcome !== 'open') reject(outcome);
        this.#resolve = resolve;
        this.#reject = reject;
      });
      // The failure also reaches `onStatus`. A writer that does not wait must not crash the process.
      this.#settled.catch(() => undefined);
    }
    return this.#settled;
  }

  commit(): void {
    if (this.#outcome === 'open') this.#outcome = 'committed';
    this.#resolve?.();
  }

  /** Rejects present and later waiters: the outcome of the group is not known. */
  fail(error: Error): void {
    if (this.#outcome === 'open') this.#outcome = error;
    this.#reject?.(error);
  }
}

/**
 * A group larger than this accepts no more updates, so that no single write blocks the event loop or the disk for long.
 */
const LARGE_GROUP_BYTES = 16 * 1024 * 1024;

/** The groups that wait to be committed, oldest first. Updates appended as one unit are always in the same group. */
export class GroupQueue {
  readonly #groups: CommitGroup[] = [];
  #bytes = 0;
  #isHeld = false;
  /** The group that takes everything that is added while {@link hold} runs. */
  #held: CommitGroup | undefined;

  /** `true` while {@link hold} runs. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Puts everything that `run` adds into one group, however large. `run` must end in this turn. */
  hold(run: () => void): void {
    if (this.#isHeld) {
      run();
      return;
    }
    this.#isHeld = true;
    try {
      run();
    } finally {
      this.#isHeld = false;
      this.#held = undefined;
    }
  }

  /** Estimated bytes of all waiting updates. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of waiting updates. */
  get count(): number {
    return this.#groups.reduce((sum, group) => sum + group.updates.length, 0);
  }

  /** The group to be committed next. */
  get first(): CommitGroup | undefined {
    return this.#groups[0];
  }

  add(updates: readonly Update[]): void {
    let group = this.#groups.at(-1);
    const isFull = group !== undefined && group !== this.#held && group.bytes > LARGE_GROUP_BYTES;
    if (group === undefined || group.sealed || isFull) {
      group = new CommitGroup();
      this.#groups.push(group);
    }
    if (this.#isHeld) this.#held = group;
    const before = group.bytes;
    for (const update of updates) group.add(update);
    this.#bytes += group.bytes - before;
  }

  /** Writes settings with the last group. Returns `false` if no group waits. */
  note(settings: Settings): boolean {
    const group = this.#groups.at(-1);
    if (group === undefined) return false;
    if (group.sealed) group.later = { ...group.later, ...settings };
    else group.settings = { ...group.settings, ...settings };
    return true;
  }

  /** Removes the first group. */
  shift(): void {
    this.#bytes -= this.#groups.shift()?.bytes ?? 0;
  }

  /** Iterates over the waiting updates from a position on. */
  *updatesFrom(position: number): Generator<Update> {
    for (const { last, updates } of this.#groups) {
      if (last >= position) for (const update of updates) if (update.position >= position) yield update;
    }
  }

  /** Returns the group that holds the position. */
  holding(position: number): CommitGroup | undefined {
    return this.#groups.find((group) => position <= group.last);
  }

  fail(error: Error): void {
    for (const group of this.#groups) group.fail(error);
  }
}
