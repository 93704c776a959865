import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { ContextCacheError } from '../core/errors.ts';

/** Longest wait for another process that changes the file, milliseconds. A change takes a few. */
const WAIT_MS = 5_000;
/** Pause between two tries, milliseconds. */
const PAUSE_MS = 5;

const pause = new Int32Array(new SharedArrayBuffer(4));
let count = 0;

/**
 * Runs `change` while no other process changes the file: `FILE.lock` exists meanwhile, with the pid of its owner. The lock of a process
 * that has ended is removed.
 *
 * @throws {ContextCacheError} `TIMED_OUT` if another process holds the lock for 5 seconds; `KEY_UNAVAILABLE` if the lock cannot be written.
 */
export function withLock<Result>(path: string, change: () => Result): Result {
  const lock = `${path}.lock`;
  for (let waited = 0; !isTaken(lock); waited += PAUSE_MS) {
    if (waited >= WAIT_MS) {
      const message = `${lock} is held by process ${ownerOf(lock) ?? '?'}. If that process does not use ${path}, remove the lock.`;
      throw new ContextCacheError('TIMED_OUT', message);
    }
    removeIfLeft(lock);
    Atomics.wait(pause, 0, 0, PAUSE_MS);
  }
  try {
    return change();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Creates the lock. Returns `false` if it exists. */
function isTaken(lock: string): boolean {
  count += 1;
  const own = `${lock}.${process.pid}-${count}`;
  try {
    // Linked into place whole, so that a reader never sees a lock without its owner.
    const file = openSync(own, 'w', 0o600);
    writeSync(file, String(process.pid));
    closeSync(file);
    linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    const message = `${lock} cannot be created. Check that the directory exists and can be written.`;
    throw new ContextCacheError('KEY_UNAVAILABLE', message, { cause: error });
  } finally {
    rmSync(own, { force: true });
  }
}

/** Removes the lock of a process that has ended. */
function removeIfLeft(lock: string): void {
  const owner = ownerOf(lock);
  if (owner === undefined || isAlive(owner)) return;
  count += 1;
  const taken = `${lock}.left-${process.pid}-${count}`;
  try {
    renameSync(lock, taken);
    // Another process may have removed the old lock and taken a new one since it was read.
    if (ownerOf(taken) !== owner) linkSync(taken, lock);
  } catch {
    // Another process was faster.
  } finally {
    rmSync(taken, { force: true });
  }
}

function ownerOf(lock: string): number | undefined {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
