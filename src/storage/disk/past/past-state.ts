import { apply } from '../../../core/apply.ts';
import { decodeEntry } from '../../../core/encoding/entry-codec.ts';
import { NamespaceState } from '../../../core/namespace-state.ts';
import { corrupt } from '../leveldb/sealed.ts';
import type { PastSummary } from '../records/past-records.ts';
import type { PastTable } from './past-table.ts';

/** Updates folded at once. */
const FOLD = 256;

/**
 * A namespace as it was after so many updates: the frame before that, and what came in between. Yields after each piece
 * of work, for one who has to give others a turn.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function* stateAfter(past: PastTable, summary: PastSummary, count: number): Generator<void, NamespaceState> {
  const state = new NamespaceState(summary.name);
  const frame = past.frameAt(summary, count);
  for (let page = 0; frame !== undefined && page < frame.pages; page += 1) {
    for (const [key, stored] of past.framePage(frame, page)) state.put(key, decodeEntry(stored));
    yield;
  }
  if (frame !== undefined) {
    const { entries = state.entries.size, version, position } = frame;
    if (state.entries.size !== entries) {
      throw corrupt(`A frame of the past of a namespace has ${state.entries.size} entries in place of ${entries}`);
    }
    state.version = version;
    state.position = position;
  }
  const chunks = past.reader();
  for (let next = frame?.ordinal ?? 0; next < count; next += 1) {
    apply(state, past.updateAt(summary.name, next, chunks));
    if (next % FOLD === 0) yield;
  }
  return state;
}

/** All of it at once. */
export function wholly<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
