import { apply } from '../../../../core/apply.ts';
import { decodeEntry } from '../../../../core/encoding/entry-codec.ts';
import { NamespaceState } from '../../../../core/namespace-state.ts';
import { corrupt } from '../leveldb/sealed.ts';
import type { PastSummary } from '../records/past-records.ts';
import type { PastReader } from './past-reader.ts';

/** Number of updates folded at a time. */
const FOLD = 256;

/**
 * Computes a namespace after its first `count` updates: the frame before that, plus the updates in between. Yields
 * after each piece of work, so that the caller can give other tasks a turn.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the past is damaged.
 */
export function* stateAfter(past: PastReader, summary: PastSummary, count: number): Generator<void, NamespaceState> {
  const state = new NamespaceState(summary.name);
  const frame = past.frameAt(summary, count);
  for (let page = 0; frame !== undefined && page < frame.pages; page += 1) {
    for (const [key, stored] of past.framePage(frame, page)) state.put(key, decodeEntry(stored));
    yield;
  }
  if (frame !== undefined) {
    const { entries, version, position } = frame;
    if (state.entries.size !== entries) {
      throw corrupt(`A frame of the past of a namespace has ${state.entries.size} entries instead of ${entries}`);
    }
    state.version = version;
    state.position = position;
  }
  const chunks = past.chunks();
  for (let next = frame?.ordinal ?? 0; next < count; next += 1) {
    apply(state, past.updateAt(summary.name, next, chunks));
    if (next % FOLD === 0) yield;
  }
  return state;
}

/** Runs all of the work at once. */
export function wholly<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
