import type { Update } from '../core/update.ts';
import { weigh } from '../storage/update-ring.ts';

/** Updates that are committed together, and whoever waits for that. */
export class CommitGroup {
  readonly updates: Update[] = [];
  /** Estimated bytes of the updates. */
  bytes = 0;
  /** Positions at which its blocks begin, once it is being written. */
  blocks: readonly number[] = [];
  /** Being written: takes no more updates. */
  sealed = false;
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

  /** Settles with the group; one promise for all who wait. Nobody need handle its rejection. */
  whenSettled(): Promise<void> {
    if (this.#settled === undefined) {
      const outcome = this.#outcome;
      this.#settled = new Promise((resolve, reject) => {
        if (outcome === 'committed') resolve();
        else if (outcome !== 'open') reject(outcome);
        this.#resolve = resolve;
        this.#reject = reject;
      });
      // The failure also reaches onStatus; a writer that does not wait must not end the process.
      this.#settled.catch(() => undefined);
    }
    return this.#settled;
  }

  commit(): void {
    if (this.#outcome === 'open') this.#outcome = 'committed';
    this.#resolve?.();
  }

  /** What becomes of it is not known; says so to those who wait, now and later. */
  fail(error: Error): void {
    if (this.#outcome === 'open') this.#outcome = error;
    this.#reject?.(error);
  }
}

/** A group is sealed by size too, so that no single write holds the event loop or the disk for long. */
const LARGE_GROUP_BYTES = 16 * 1024 * 1024;

/** The groups that wait to be committed, oldest first. What is appended as one unit is never in two of them. */
export class GroupQueue {
  readonly #groups: CommitGroup[] = [];
  #bytes = 0;

  /** Estimated bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many updates wait. */
  get count(): number {
    return this.#groups.reduce((sum, group) => sum + group.updates.length, 0);
  }

  /** The group to be committed next. */
  get first(): CommitGroup | undefined {
    return this.#groups[0];
  }

  add(updates: readonly Update[]): void {
    let group = this.#groups.at(-1);
    if (group === undefined || group.sealed || group.bytes > LARGE_GROUP_BYTES) {
      group = new CommitGroup();
      this.#groups.push(group);
    }
    const before = group.bytes;
    for (const update of updates) group.add(update);
    this.#bytes += group.bytes - before;
  }

  /** Takes the first group out. */
  shift(): void {
    this.#bytes -= this.#groups.shift()?.bytes ?? 0;
  }

  /** Everything that waits, from a position on. */
  *updatesFrom(position: number): Generator<Update> {
    for (const { last, updates } of this.#groups) {
      if (last >= position) for (const update of updates) if (update.position >= position) yield update;
    }
  }

  /** The group that holds the position. */
  holding(position: number): CommitGroup | undefined {
    return this.#groups.find((group) => position <= group.last);
  }

  fail(error: Error): void {
    for (const group of this.#groups) group.fail(error);
  }
}
