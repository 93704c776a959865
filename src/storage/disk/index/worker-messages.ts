import type { LogFileNames } from '../log/file-log.ts';
import type { IndexChange } from './index-change.ts';
import type { IndexTask } from './index-host.ts';
import type { LocalHostOptions } from './local-host.ts';

/** The settings that the thread of the index is started with. */
export type WorkerSettings = Pick<LocalHostOptions, 'path' | 'log' | 'location' | 'keepsValues'>;

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
  /** A copied error keeps its message and stack, but neither its class nor its code: hence `isDamage`. */
  | { readonly type: 'failed'; readonly id: number; readonly error: Error; readonly isDamage: boolean };
