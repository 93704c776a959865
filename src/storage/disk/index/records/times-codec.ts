import type { MessageWriter } from '../../../../core/encoding/message-writer.ts';
import { weigh } from '../../../update-ring.ts';
import type { LocatedUpdate } from '../../log/logged-update.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, sealWritten, unseal } from '../leveldb/sealed.ts';
import { timesKey } from './past-records.ts';

/** Number of updates in a record. */
export const TIMES = 1024;

/**
 * Running values of consecutive updates, numbered from the start of the past. Neither array ever decreases, so both can
 * be searched by bisection.
 */
export interface Times {
  /** Latest instant up to each update, epoch milliseconds. */
  readonly at: number[];
  /** Estimated bytes of all updates up to each one. */
  readonly bytes: number[];
}

/** Returns the number of the record that holds the last of `count` updates. */
export function lastRecord(count: number): number {
  return Math.floor(Math.max(0, count - 1) / TIMES);
}

/**
 * Returns the writes for `updates`, which follow `count` others; `last` is the record of the last of those.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the record does not end there.
 */
export function timesAfter(
  last: Uint8Array | undefined,
  count: number,
  updates: readonly LocatedUpdate[],
): StorageWrite[] {
  const before = last === undefined ? { at: [], bytes: [] } : decodeTimes(last);
  if (before.at.length !== (count === 0 ? 0 : ((count - 1) % TIMES) + 1))
    throw corrupt('The instants of updates end elsewhere');
  let at = before.at.at(-1) ?? 0;
  let bytes = before.bytes.at(-1) ?? 0;
  let record = Math.floor(count / TIMES);
  let times: Times = count % TIMES === 0 ? { at: [], bytes: [] } : before;
  const writes: StorageWrite[] = [];
  for (const update of updates) {
    if (times.at.length === TIMES) {
      writes.push(timesWrite(record, times));
      record += 1;
      times = { at: [], bytes: [] };
    }
    at = Math.max(at, update.at);
    bytes += weigh(update);
    times.at.push(at);
    times.bytes.push(bytes);
  }
  if (updates.length > 0) writes.push(timesWrite(record, times));
  return writes;
}

/**
 * Returns the writes that remove what is not needed once `gone` updates are released; `before` is the number that was
 * released already. Keeps the last released update: it determines which instants are too early.
 */
export function timesTrimmed(before: number, gone: number): StorageWrite[] {
  const writes: StorageWrite[] = [];
  for (let record = lastRecord(before); record < lastRecord(gone); record += 1) {
    writes.push({ type: 'del', key: timesKey(record) });
  }
  return writes;
}

/** Encodes the first number and each distance from it. */
function timesWrite(record: number, { at, bytes }: Times): StorageWrite {
  const [first = 0] = at;
  const [least = 0] = bytes;
  const value = sealWritten((to) => {
    to.array(4);
    writeDistances(to, at, first);
    writeDistances(to, bytes, least);
  });
  return { type: 'put', key: timesKey(record), value };
}

function writeDistances(to: MessageWriter, values: readonly number[], from: number): void {
  to.number(from);
  to.array(values.length);
  for (const value of values) to.number(value - from);
}

/**
 * Decodes what {@link timesAfter} has encoded.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function decodeTimes(record: Uint8Array): Times {
  const fields = unseal(record, () => 'The instants of updates');
  const [first, at, least, bytes] = fields as [number, number[], number, number[]];
  return { at: at.map((each) => first + each), bytes: bytes.map((each) => least + each) };
}
