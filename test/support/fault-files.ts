import { basename } from 'node:path';
import { type Files, nodeFiles, type ReadableFile, type WritableFile } from '../../src/storage/disk/files.ts';

/**
 * Outcome of a write: done, or reported as failed although nothing (lost), a part (torn) or all of it (unknown) was written. A failed
 * sync also leaves the outcome unknown.
 */
export type Fate = 'done' | 'lost' | 'torn' | 'unknown';

/** A write to a file. */
export interface FaultWrite {
  readonly path: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A call that can be refused. */
export type FileCall =
  | 'makeDirectory'
  | 'list'
  | 'create'
  | 'continue'
  | 'open'
  | 'size'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'sync'
  | 'truncate';

/** Real files whose calls fail on request. Records calls that must not follow a failure on the same file. */
export class FaultFiles implements Files {
  /** Decides the outcome of each write. Default: done. */
  decide: (write: FaultWrite) => Fate = () => 'done';
  /** Returns whether a call fails before it does anything. Default: none does. */
  refuse: (call: FileCall, path: string) => boolean = () => false;
  /** Calls that succeeded or failed, as `<call> <name of the file>`. Writes are left out. */
  readonly calls: string[] = [];
  /** Writes to a file after a failure, and syncs of it after a sync that failed, also one that was part of a write. */
  readonly reused: string[] = [];
  /** Number of files that are open. */
  openFiles = 0;
  /** Files that are being written. A renamed file keeps its handle. */
  readonly #writable = new Set<FaultFile>();

  async makeDirectory(path: string): Promise<void> {
    this.check('makeDirectory', path);
    await nodeFiles.makeDirectory(path);
  }

  async list(path: string): Promise<readonly string[]> {
    this.check('list', path);
    return await nodeFiles.list(path);
  }

  async create(path: string, sync: boolean): Promise<WritableFile> {
    this.check('create', path);
    return this.#writing(path, await nodeFiles.create(path, sync), sync);
  }

  async continue(path: string, sync: boolean): Promise<WritableFile> {
    this.check('continue', path);
    return this.#writing(path, await nodeFiles.continue(path, sync), sync);
  }

  open(path: string): ReadableFile {
    this.check('open', path);
    const file = nodeFiles.open(path);
    this.openFiles += 1;
    return {
      read: (target, offset) => file.read(target, offset),
      close: () => {
        this.openFiles -= 1;
        file.close();
      },
    };
  }

  async size(path: string): Promise<number> {
    this.check('size', path);
    return await nodeFiles.size(path);
  }

  async rename(from: string, to: string): Promise<void> {
    this.check('rename', to);
    await nodeFiles.rename(from, to);
    for (const file of this.#writable) if (file.path === from) file.path = to;
  }

  async remove(path: string): Promise<void> {
    this.check('remove', path);
    await nodeFiles.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.check('syncDirectory', path);
    await nodeFiles.syncDirectory(path);
  }

  lock(directory: string, dataDir: string): Promise<() => Promise<void>> {
    return nodeFiles.lock(directory, dataDir);
  }

  /** Records a call, and throws if it is to fail. */
  check(call: FileCall, path: string): void {
    this.calls.push(`${call} ${basename(path)}`);
    if (this.refuse(call, path)) throw new Error(`injected: cannot ${call}`);
  }

  #writing(path: string, file: WritableFile, sync: boolean): WritableFile {
    this.openFiles += 1;
    const faulty = new FaultFile(this, path, file, sync, () => {
      this.openFiles -= 1;
      this.#writable.delete(faulty);
    });
    this.#writable.add(faulty);
    return faulty;
  }
}

/** A file whose calls fail on request. */
class FaultFile implements WritableFile {
  path: string;
  readonly #files: FaultFiles;
  readonly #file: WritableFile;
  readonly #sync: boolean;
  readonly #closed: () => void;
  #failed: 'write' | 'sync' | undefined;

  constructor(files: FaultFiles, path: string, file: WritableFile, sync: boolean, closed: () => void) {
    this.#files = files;
    this.path = path;
    this.#file = file;
    this.#sync = sync;
    this.#closed = closed;
  }

  write(parts: readonly Uint8Array[], offset: number): Promise<void> {
    return this.#attempt('write', async () => {
      const bytes = Buffer.concat(parts);
      const fate = this.#files.decide({ path: this.path, offset, bytes });
      if (fate === 'done' || fate === 'unknown') await this.#file.write(parts, offset);
      if (fate === 'torn') await this.#file.write([bytes.subarray(0, Math.ceil(bytes.length / 2))], offset);
      if (fate !== 'done') throw new Error('injected: I/O error');
    });
  }

  sync(): Promise<void> {
    return this.#attempt('sync', async () => {
      this.#files.check('sync', this.path);
      await this.#file.sync();
    });
  }

  async truncate(length: number): Promise<void> {
    this.#files.check('truncate', this.path);
    await this.#file.truncate(length);
  }

  close(): Promise<void> {
    this.#closed();
    return this.#file.close();
  }

  async #attempt(call: 'write' | 'sync', work: () => Promise<void>): Promise<void> {
    if (this.#failed === 'sync' || (this.#failed === 'write' && call === 'write')) {
      this.#files.reused.push(`${call} ${basename(this.path)}`);
    }
    try {
      await work();
    } catch (error) {
      this.#failed ??= this.#sync ? 'sync' : call;
      throw error;
    }
  }
}

/** Returns whether a write adds frames to a file of the log. The zeros in front of a small write do not count. */
export function isGroup({ path, bytes }: FaultWrite): boolean {
  return path.endsWith('.log') && !bytes.equals(Buffer.alloc(bytes.length));
}
