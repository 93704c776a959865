import type { StorageWrite } from '../leveldb/level-storage.ts';
import { seal, unseal } from '../leveldb/sealed.ts';

/** Increases with every change of the format. An index of another format is rebuilt. */
const FORMAT = 1;

/** Key of the record of progress. */
export const PROGRESS_KEY = '!index';

/** How far an index has come, and what it belongs to. Written with every batch. */
export interface Progress {
  /** Id of the log. */
  readonly log: string;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
  /** `true` while the base is being read: the index is then incomplete. */
  readonly adopting: boolean;
  /** The index is the fold of the log up to this position. */
  readonly checkpoint: number;
  /** Checksum of the update at the checkpoint, in the log; 0 if the checkpoint is the position of the base. */
  readonly fingerprint: number;
  /** Start of the past: the instants of updates are numbered from this position. */
  readonly begins: number;
  /** States before this position cannot be read: never kept, or released. */
  readonly since: number;
  /** No state from {@link Progress.since} on needs an update at or before this position. */
  readonly trimmed: number;
  /** Number of namespaces. */
  readonly namespaces: number;
  /** Sum of the checksums of all records of namespaces and of their pasts, modulo 2^48. */
  readonly sum: number;
}

/** Returns the progress of an index that holds the base and nothing else. */
export function progressAt(base: number, log: string, keepsValues: boolean): Progress {
  const at = { checkpoint: base, begins: base, since: base, trimmed: base };
  return { log, keepsValues, adopting: false, fingerprint: 0, namespaces: 0, sum: 0, ...at };
}

/** The fields in the order in which they are stored. */
const FIELDS = [
  'log',
  'keepsValues',
  'adopting',
  'checkpoint',
  'fingerprint',
  'begins',
  'since',
  'trimmed',
  'namespaces',
  'sum',
] as const;

/** Returns the write that goes with every batch. */
export function progressWrite(progress: Progress): StorageWrite {
  return { type: 'put', key: PROGRESS_KEY, value: seal([FORMAT, ...FIELDS.map((field) => progress[field])]) };
}

/**
 * Decodes what {@link progressWrite} has encoded. Returns `undefined` for a record of another format.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function decodeProgress(record: Uint8Array): Progress | undefined {
  const fields = unseal(record, () => 'The progress of the index');
  if (!Array.isArray(fields) || fields[0] !== FORMAT) return undefined;
  return Object.fromEntries(FIELDS.map((field, index) => [field, fields[index + 1]])) as unknown as Progress;
}
