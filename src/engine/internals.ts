import type { Basis } from '../core/basis.ts';
import type { DataCommand } from '../core/command.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import type { Engine } from './engine.ts';
import type { EngineOptions } from './options.ts';
import type { Writer } from './writer.ts';

/** An entry of a merged cache that stands for more than the entry of the target. */
export interface MetEntry {
  readonly version: number;
  /** The readings of the target that a reading of this version stands for. */
  readonly readings: Basis;
}

/** The state that two caches had in common when one was last merged into the other, as a view of each. */
export interface MergeMark {
  /** View of the cache that was merged into, with the merge in it. */
  readonly into: StateView;
  /** View of the cache that was merged. */
  readonly from: StateView;
  /** Entries of `from` by namespace and key; `undefined`: too many, or not known, so each entry of `from` may stand for anything. */
  readonly met: ReadonlyMap<string, ReadonlyMap<string, MetEntry>> | undefined;
}

/** The parts of a cache that other modules of this package use when a user hands them the cache. */
export interface Internals {
  readonly past: PastSource;
  readonly parts: Engine;
  readonly options: EngineOptions;
  readonly writer: Writer;
  /** Set if the cache is that of one agent: names the agent in a command, and hides what it may not read from an error. */
  readonly restricted?: { admit(command: DataCommand): DataCommand; concealed(error: unknown): unknown } | undefined;
  /** The last merge of this cache into each other cache, by the log id of that cache. */
  readonly merged: Map<string, MergeMark>;
}

/** The property of a cache that holds its {@link Internals}. Not exported from the package. */
export const INTERNALS: unique symbol = Symbol('internals');

/** Gathers the internals of a new cache. Its merge marks are released when its log closes. */
export function createInternals(parts: Omit<Internals, 'merged'>): Internals {
  const merged = new Map<string, MergeMark>();
  parts.parts.log.onStatus((status) => {
    if (status !== 'closed') return;
    for (const mark of merged.values()) release(mark);
    merged.clear();
  });
  return { ...parts, merged };
}

/** Returns the internals of a cache, `undefined` for any other value. */
export function internalsOf(candidate: unknown): Internals | undefined {
  if (typeof candidate !== 'object' || candidate === null) return undefined;
  return (candidate as { readonly [INTERNALS]?: Internals })[INTERNALS];
}

/** Releases both views of a mark. */
export function release({ into, from }: Pick<MergeMark, 'into' | 'from'>): void {
  into.release?.();
  from.release?.();
}
