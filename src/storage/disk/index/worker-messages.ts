import type { LogFileNames } from '../log/file-log.ts';
import type { IndexChange } from './index-change.ts';
import { isDamage } from './index-errors.ts';
import type { IndexTask } from './index-host.ts';

/** The settings that the thread of the index is started with. */
export interface WorkerSettings {
  /** Folder that holds the log. */
  readonly path: string;
  /** Id of the log. */
  readonly log: string;
  readonly location: string;
  readonly keepsValues: boolean;
}

/** Messages to the thread of the index. */
export type ToWorker =
  | { readonly type: 'run'; readonly id: number; readonly task: IndexTask; readonly names: LogFileNames }
  /** The main thread has taken a batch, or refuses to. */
  | { readonly type: 'taken'; readonly refusal?: string }
  | { readonly type: 'close' };

/** Messages from the thread of the index. */
export type FromWorker =
  | { readonly type: 'started' }
  | { readonly type: 'written'; readonly change: IndexChange }
  | { readonly type: 'done'; readonly id: number }
  /** Its handle of the storage is closed, and the thread may be ended. */
  | { readonly type: 'closed' }
  | { readonly type: 'failed'; readonly id: number; readonly error: DescribedError };

/** An error, as it is sent between threads. */
export interface DescribedError {
  readonly message: string;
  readonly stack: string | undefined;
  readonly isDamage: boolean;
}

export function describe(error: Error): DescribedError {
  return { message: error.message, stack: error.stack, isDamage: isDamage(error) };
}
