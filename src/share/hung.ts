import { join } from 'node:path';
import { holderOf } from '../storage/disk/lock.ts';

/**
 * Ends the process that holds the lock of a shared directory, for good: nothing that it has begun can follow. Only
 * processes that share the directory take this lock. Does nothing if the system does not tell which process holds it, or if
 * `pid` is given and names another process. Returns its pid; `undefined` if none was ended.
 */
export async function endHolder(lock: string, pid?: number): Promise<number | undefined> {
  const holder = await holderOf(join(lock, 'LOCK'));
  if (holder === undefined || holder === process.pid || (pid !== undefined && pid !== holder)) return undefined;
  try {
    process.kill(holder, 'SIGKILL');
    return holder;
  } catch {
    // It has ended, or belongs to another user.
    return undefined;
  }
}
