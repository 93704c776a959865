import type { LogFileNames } from '../log/file-log.ts';
import type { LevelStorage } from './leveldb/level-storage.ts';

/**
 * The thread that writes the index. After a rejection the host must be closed and opened again: no write may follow a
 * failed one, and what is in memory may not fit the storage.
 */
export interface IndexHost {
  /**
   * Opens the storage, or creates it, and resolves with it for the reads of the main thread. Nothing is written before
   * the first other call, which starts a new index if the stored one is missing, incomplete or of another format.
   */
  open(): Promise<LevelStorage>;
  /** Folds in everything up to a position that is committed. `names` are the files of the log that hold it. */
  fold(through: number, names: LogFileNames): Promise<void>;
  /** Stores that positions before this one cannot be read any more. */
  raiseSince(position: number, names: LogFileNames): Promise<void>;
  /** Removes the past before a position; `wholly` returns its space to the disk now. */
  trim(position: number, wholly: boolean, names: LogFileNames): Promise<void>;
  /** Ends after the batch that is being written, and closes the storage in all threads. Never rejects. */
  close(): Promise<void>;
}

/** One call of an {@link IndexHost}, as data. */
export type IndexTask =
  | { readonly type: 'fold'; readonly through: number }
  | { readonly type: 'since'; readonly position: number }
  | { readonly type: 'trim'; readonly position: number; readonly wholly: boolean };
