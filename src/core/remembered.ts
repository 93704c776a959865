import type { OperationWindow, StoredOperations } from './operations.ts';

/** Facts about all updates of a log that outlive the updates themselves. The log's files and snapshots store them. */
export interface Remembered {
  /** The operations that are remembered; absent: none. */
  readonly operations?: StoredOperations | undefined;
  /** The highest version that a dropped namespace has had; absent: none was dropped. A new namespace begins above it. */
  readonly floor?: number | undefined;
}

/** Returns what a log remembers up to a position. `floor` is 0 if no namespace was dropped. */
export function rememberedOf(operations: OperationWindow, floor: number, until: number): Remembered {
  const stored = operations.stored(until);
  return { ...(stored === undefined ? {} : { operations: stored }), ...(floor === 0 ? {} : { floor }) };
}

/** Returns the floor after an update: see {@link Remembered.floor}. */
export function floorAfter(floor: number, update: { readonly drop: boolean; readonly version: number }): number {
  return update.drop && update.version > floor ? update.version : floor;
}
