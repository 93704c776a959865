import type { ClosedSegment } from '../log/compress-segment.ts';
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
  /** Runs a task. `names` are the files of the log that hold what it reads. */
  run(task: IndexTask, names: LogFileNames): Promise<void>;
  /** Ends after the batch that is being written, and closes the storage in all threads. Never rejects. */
  close(): Promise<void>;
}

/** A task of an {@link IndexHost}. */
export type IndexTask =
  /** Folds in everything up to a position that is committed. */
  | { readonly type: 'fold'; readonly through: number }
  /** Stores that positions before this one cannot be read any more. */
  | { readonly type: 'since'; readonly position: number }
  /** Removes the past before a position; `wholly` returns its space to the disk now. */
  | { readonly type: 'trim'; readonly position: number; readonly wholly: boolean }
  /** Writes the compressed form of a file of the log beside it. A rejection leaves the host as it was. */
  | { readonly type: 'compress'; readonly file: ClosedSegment };
