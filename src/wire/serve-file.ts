import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDirectoryFile } from './directory-file.ts';

/** How a process that shares a directory may be treated by the others. */
export interface SharedHolder {
  /** They end it after so many milliseconds without a sign of life; `null`: never. */
  readonly hungAfterMs: number | null;
}

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
  /** Set if the process shares the directory with others, one of which takes over when it ends. */
  readonly shared?: SharedHolder;
  /** Version of this format. */
  readonly version: 1;
}

const NAME = 'serve.json';

/** Writes the file. */
export function writeServeFile(dataDir: string, file: ServeFile): Promise<void> {
  return writeDirectoryFile(join(dataDir, NAME), file);
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
