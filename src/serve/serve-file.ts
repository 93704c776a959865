import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContextCacheError } from '../index.ts';

/** How to reach the process that serves a data directory. */
export interface ServeFile {
  /** On 127.0.0.1. */
  readonly port: number;
  /** For `Authorization: Bearer`. */
  readonly token: string;
  readonly pid: number;
  /** Of the format. */
  readonly version: 1;
}

const NAME = 'serve.json';

/** Tells other programs of this user how to reach the process; whole or not at all. */
export async function writeServeFile(dataDir: string, file: ServeFile): Promise<void> {
  const path = join(dataDir, NAME);
  const unfinished = `${path}.${file.pid}~`;
  try {
    await rm(unfinished, { force: true });
    await writeFile(unfinished, `${JSON.stringify(file)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(unfinished, path);
  } catch (cause) {
    await rm(unfinished, { force: true });
    throw new ContextCacheError('LOG_UNAVAILABLE', `${path} cannot be written. See to the permissions.`, { cause });
  }
}

/** Who serves the directory; `undefined` where nobody does, as far as the file and the process's number tell. */
export async function readServeFile(dataDir: string): Promise<ServeFile | undefined> {
  let file: Partial<ServeFile>;
  try {
    file = JSON.parse(await readFile(join(dataDir, NAME), 'utf8'));
  } catch {
    // Absent, or not one of ours: nobody can be reached by it.
    return undefined;
  }
  const { port, token, pid, version } = file;
  if (!Number.isInteger(port) || typeof token !== 'string' || !Number.isInteger(pid) || version !== 1) return undefined;
  return isAlive(pid as number) ? (file as ServeFile) : undefined;
}

/** Takes back what {@link writeServeFile} has told, unless it is another's by now. */
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
