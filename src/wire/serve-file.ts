import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContextCacheError } from '../core/errors.ts';

/** Address and token of the process that serves a data directory. */
export interface ServeFile {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** `true` if the server takes TLS only. */
  readonly tls?: boolean;
  /** Token for `Authorization: Bearer`. */
  readonly token: string;
  readonly pid: number;
  /** Version of this format. */
  readonly version: 1;
}

const NAME = 'serve.json';

/** Writes the file, readable by this user only, in one atomic step. */
export async function writeServeFile(dataDir: string, file: ServeFile): Promise<void> {
  const path = join(dataDir, NAME);
  const unfinished = `${path}.${file.pid}~`;
  try {
    await rm(unfinished, { force: true });
    await writeFile(unfinished, `${JSON.stringify(file)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(unfinished, path);
  } catch (cause) {
    await rm(unfinished, { force: true });
    throw new ContextCacheError('LOG_UNAVAILABLE', `${path} cannot be written. Check the permissions.`, { cause });
  }
}

/** Reads the file; `undefined` if it is absent, not valid, or names a process that no longer exists. */
export async function readServeFile(dataDir: string): Promise<ServeFile | undefined> {
  let file: Partial<ServeFile>;
  try {
    file = JSON.parse(await readFile(join(dataDir, NAME), 'utf8'));
  } catch {
    // Absent, or not a file of this package.
    return undefined;
  }
  const { port, token, pid, version } = file;
  if (!Number.isInteger(port) || typeof token !== 'string' || !Number.isInteger(pid) || version !== 1) return undefined;
  return isAlive(pid as number) ? (file as ServeFile) : undefined;
}

/** Removes the file, unless another process has replaced it. */
export async function removeServeFile(dataDir: string, { token }: ServeFile): Promise<void> {
  const now = await readServeFile(dataDir);
  if (now?.token === token) await rm(join(dataDir, NAME), { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
