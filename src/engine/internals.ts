import type { PastSource, StateView } from '../storage/past-source.ts';
import type { Engine } from './engine.ts';
import type { CacheOptions } from './options.ts';
import type { Writer } from './writer.ts';

/** What was alike in two caches once one had been merged into the other. */
export interface MergeMark {
  /** Of the cache that was merged into, with what came. */
  readonly into: StateView;
  /** Of the cache that was merged. */
  readonly from: StateView;
}

/** What is inside a cache, for others of this package that its user hands it to. */
export interface Innards {
  readonly past: PastSource;
  readonly parts: Engine;
  readonly options: CacheOptions;
  readonly writer: Writer;
  /** How far this cache has been merged, by the id of the log that it was merged into. */
  readonly merged: Map<string, MergeMark>;
}

const innards = new WeakMap<object, Innards>();

/** For a cache that has just been made. */
export function reveal(cache: object, inside: Innards): void {
  innards.set(cache, inside);
  const { log } = inside.parts;
  log.onStatus((status) => {
    if (status !== 'closed') return;
    for (const mark of inside.merged.values()) letGo(mark);
    inside.merged.clear();
  });
}

/** `undefined` for what is not a cache. */
export function innardsOf(candidate: unknown): Innards | undefined {
  return typeof candidate === 'object' && candidate !== null ? innards.get(candidate) : undefined;
}

/** The moments are not wanted any more. */
export function letGo({ into, from }: MergeMark): void {
  into.release?.();
  from.release?.();
}
