import type { StorageWrite } from '../leveldb/level-storage.ts';
import { checksumOf } from '../leveldb/sealed.ts';
import { PAST_RANGE } from './past-records.ts';
import { SUMMARY_RANGE } from './state-records.ts';

/** One more than the greatest sum: sums stay exact integers. */
const SUMS = 2 ** 48;

/**
 * Adds the checksum of the record of a namespace, or of its past, to the sum of all of them. The sum reveals when the
 * index is opened that a record is missing, or that LevelDB shows an older one: after it has lost a batch, or if a key in
 * a table was changed.
 */
export function addRecord(sum: number, record: Uint8Array): number {
  return (sum + checksumOf(record)) % SUMS;
}

/** Returns the sum after a batch, which replaces or removes some records. */
export function sumAfter(
  before: number,
  replaced: Iterable<Uint8Array | undefined>,
  writes: readonly StorageWrite[],
): number {
  let sum = before;
  for (const record of replaced) if (record !== undefined) sum = (sum + SUMS - checksumOf(record)) % SUMS;
  for (const write of writes) if (write.type === 'put' && isSummed(write.key)) sum = addRecord(sum, write.value);
  return sum;
}

function isSummed(key: string): boolean {
  return key.startsWith(SUMMARY_RANGE.gte) || key.startsWith(PAST_RANGE.gte);
}
