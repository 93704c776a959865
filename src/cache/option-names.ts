import { WATCH_OPTIONS, type WatchOptions } from '../actors/watch.ts';
import { optionNames } from '../core/options.ts';
import { FILTER_NAMES, type WatchFilter } from '../core/update-filter.ts';
import type { ForgetOptions } from './forget.ts';
import type { ReadOptions, WaitOptions } from './types.ts';

type Waiting = Pick<WaitOptions, 'signal'>;
const elsewhere = () => [WATCH_OPTIONS];

export const SUBSCRIBE_FILTER = optionNames<WatchFilter>('subscribe', FILTER_NAMES, { elsewhere });
export const ASK_OPTIONS = optionNames<Waiting>('ask', { signal: true });
export const REACHED_OPTIONS = optionNames<Waiting>('reached', { signal: true });
export const BACKUP_NOW_OPTIONS = optionNames<Waiting>('backup', { signal: true });
export const READ_OPTIONS = optionNames<ReadOptions>('get', { maxStalenessMs: true });
export const SYNCED_OPTIONS = optionNames<WaitOptions>('synced', { timeoutMs: true, signal: true });
export const FORGET_OPTIONS = optionNames<ForgetOptions>('forget', {
  basis: true,
  reason: true,
  agent: true,
  meta: true,
  operationId: true,
});
export const SHUTDOWN_OPTIONS = optionNames<Pick<WaitOptions, 'timeoutMs'>>('shutdown', { timeoutMs: true });

/** Options of a handle's methods: the handle names the namespace itself. */
export const HANDLE_WATCH_OPTIONS = optionNames<Omit<WatchOptions, 'namespace' | 'namespacePrefix'>>(
  'watch of a namespace',
  { keys: true, keyPrefix: true, include: true, since: true, signal: true, bufferSize: true },
  { elsewhere },
);
export const HANDLE_SUBSCRIBE_FILTER = optionNames<Pick<WatchFilter, 'keys' | 'keyPrefix'>>(
  'subscribe of a namespace',
  { keys: true, keyPrefix: true },
  { elsewhere: () => [SUBSCRIBE_FILTER, WATCH_OPTIONS] },
);
