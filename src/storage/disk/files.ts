import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unreadable } from './corrupt.ts';
import { lockDirectory } from './lock.ts';

/** A file that is being written. */
export interface WritableFile {
  /** Writes all bytes at an offset. If the file was opened with `sync`, it resolves only when the disk has them. */
  write(parts: readonly Uint8Array[], offset: number): Promise<void>;
  /** Resolves when the disk has everything that was written. */
  sync(): Promise<void>;
  /** Shortens the file. */
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** A file that is read. */
export interface ReadableFile {
  /** Reads up to `target.length` bytes at an offset, fewer only at the end of the file, and returns how many. */
  read(target: Uint8Array, offset: number): number;
  close(): void;
}

/** The part of a file system that the log uses. Tests replace it to make the disk fail. Errors are those of `node:fs`. */
export interface Files {
  /** Creates a directory with mode 0700, and those above it. */
  makeDirectory(path: string): Promise<void>;
  /** Resolves with the names in a directory; with none if there is no such directory. */
  list(path: string): Promise<readonly string[]>;
  /** Creates a file with mode 0600, or empties it. */
  create(path: string, sync: boolean): Promise<WritableFile>;
  /** Opens a file to continue it. */
  continue(path: string, sync: boolean): Promise<WritableFile>;
  /** Opens a file to read it. */
  open(path: string): ReadableFile;
  /** Resolves with the number of bytes of a file; with 0 if it is not there. */
  size(path: string): Promise<number>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or directory, if it is there. */
  remove(path: string): Promise<void>;
  /** Resolves when the disk has the names in a directory: a synced file is lost if its name is not. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Takes the lock in a directory, which is created. Resolves with a function that gives it up; the end of the process does
   * so too.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED` if another holder has it; messages name `dataDir`.
   */
  lock(directory: string, dataDir: string): Promise<() => Promise<void>>;
}

/** The file system of the machine. */
export const nodeFiles: Files = {
  makeDirectory: async (path) => void (await mkdir(path, { recursive: true, mode: 0o700 })),
  list: (path) =>
    readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    }),
  create: async (path, sync) =>
    new NodeFile(
      await open(
        path,
        constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | (sync ? constants.O_DSYNC : 0),
        0o600,
      ),
    ),
  continue: async (path, sync) => new NodeFile(await open(path, constants.O_RDWR | (sync ? constants.O_DSYNC : 0))),
  open: (path) => new NodeReader(path),
  size: (path) =>
    stat(path).then(
      ({ size }) => size,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return 0;
        throw error;
      },
    ),
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  syncDirectory: async (path) => {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  lock: lockDirectory,
};

class NodeFile implements WritableFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(parts: readonly Uint8Array[], offset: number): Promise<void> {
    let at = offset;
    let left = parts;
    while (left.length > 0) {
      const { bytesWritten } = await this.#handle.writev(left, at);
      at += bytesWritten;
      left = after(left, bytesWritten);
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Returns what is left of the parts after a number of bytes. */
function after(parts: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skipped = bytes;
  for (const [index, part] of parts.entries()) {
    if (skipped < part.length) return [part.subarray(skipped), ...parts.slice(index + 1)];
    skipped -= part.length;
  }
  return [];
}

class NodeReader implements ReadableFile {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  read(target: Uint8Array, offset: number): number {
    let read = 0;
    while (read < target.length) {
      const more = readSync(this.#fd, target, read, target.length - read, offset + read);
      if (more === 0) break;
      read += more;
    }
    return read;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Opens a file to read it. Its errors and those of its reads are typed.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the file is missing, `LOG_UNAVAILABLE` if it cannot be read.
 */
export function openFile(files: Files, path: string): ReadableFile {
  const typed = <Result>(read: () => Result): Result => {
    try {
      return read();
    } catch (thrown) {
      throw unreadable(path, thrown);
    }
  };
  const file = typed(() => files.open(path));
  return { read: (target, offset) => typed(() => file.read(target, offset)), close: () => file.close() };
}

/** Reads a whole file. Throws as {@link openFile} does. */
export function readFile(files: Files, path: string): Buffer {
  const file = openFile(files, path);
  try {
    let bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    for (let length = 0; ; ) {
      length += file.read(bytes.subarray(length), length);
      if (length < bytes.length) return bytes.subarray(0, length);
      const larger = Buffer.allocUnsafeSlow(Math.max(LARGE_BYTES, 2 * length));
      bytes.copy(larger);
      bytes = larger;
    }
  } finally {
    file.close();
  }
}

/** Bytes of the first read of a file, … */
const FIRST_BYTES = 64 * 1024;
/** … and of the next one, which a full file of the log fits in: joining parts would map and copy as much memory again. */
const LARGE_BYTES = 18 * 1024 * 1024;

/**
 * Creates a file as a whole or not at all: writes it under another name, syncs it and renames it. A crash of the machine
 * leaves the file or none, also if the log does not wait for the disk: half a file would count as damage.
 *
 * @param sync whether later writes wait for the disk, too.
 * @returns the file, open to be continued.
 */
export async function createWhole(
  files: Files,
  directory: string,
  name: string,
  sync: boolean,
  write: (file: WritableFile) => Promise<void>,
): Promise<WritableFile> {
  const temporary = join(directory, `${name}.new`);
  return writeUnfinished(files, temporary, sync, write, async () => {
    await files.rename(temporary, join(directory, name));
    await files.syncDirectory(directory);
  });
}

/**
 * Writes a file and syncs it, then calls `finish`. Removes the file if any of that fails. Until it is renamed its name ends in `.new`.
 *
 * @returns the file, open to be continued.
 */
export async function writeUnfinished(
  files: Files,
  temporary: string,
  sync: boolean,
  write: (file: WritableFile) => Promise<void>,
  finish = async () => {},
): Promise<WritableFile> {
  const file = await files.create(temporary, sync);
  try {
    await write(file);
    await file.sync();
    await finish();
    return file;
  } catch (error) {
    await file.close().catch(() => undefined);
    // It may be large. If this fails as well, the next opening of the log removes it.
    await files.remove(temporary).catch(() => undefined);
    throw error;
  }
}
