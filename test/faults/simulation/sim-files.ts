import { basename, dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { ContextCacheError } from '../../../src/core/errors.ts';
import type { Files, ReadableFile, WritableFile } from '../../../src/storage/disk/files.ts';
import type { Random } from '../support.ts';
import { SimFile } from './sim-file.ts';
import type { Living, Trouble } from './trouble.ts';

/** Permanent errors of a file system, for controls. Each returns `true` for a path that it concerns. */
export interface FilesSabotage {
  /** Writes and syncs of the file are reported as synced and are not. */
  readonly lies?: ((path: string) => boolean) | undefined;
  /** Syncs of the directory do nothing. */
  readonly forgetsNames?: ((path: string) => boolean) | undefined;
  /** Writes that change nothing are left out, although the bytes may not be on disk. */
  readonly skipsRepeats?: boolean | undefined;
  /** Changes what is read of a file. */
  readonly reads?: ((path: string, bytes: Buffer, offset: number) => void) | undefined;
}

type Node = SimFile | SimDirectory;

/** The names in a directory. A power cut may undo each change that was not synced. */
class SimDirectory {
  entries = new Map<string, Node>();
  #disk = new Map<string, Node>();
  #changes: ((entries: Map<string, Node>) => void)[] = [];

  change(change: (entries: Map<string, Node>) => void): void {
    change(this.entries);
    this.#changes.push(change);
  }

  sync(): void {
    for (const change of this.#changes) change(this.#disk);
    this.#changes = [];
  }

  powerCut(random: Random): void {
    for (const change of this.#changes) if (random.below(2) === 0) change(this.#disk);
    this.#changes = [];
    this.entries = new Map(this.#disk);
    for (const node of this.entries.values()) node.powerCut(random);
  }
}

/** The files of a machine. They outlive its processes. */
export class SimFileSystem {
  readonly root = new SimDirectory();
  /**
   * `true`: files are read as if the zeros at their ends were not there. Reading the space that the log reserves would take
   * most of a run's time.
   */
  hidesReserve = false;
  /** Called when a directory or a file is removed. */
  onRemoved: (path: string) => void = () => {};
  readonly #trouble: Trouble;
  readonly #sabotage: FilesSabotage;
  readonly #locks = new Map<string, Living>();

  constructor(trouble: Trouble, sabotage: FilesSabotage = {}) {
    this.#trouble = trouble;
    this.#sabotage = sabotage;
  }

  /** Returns the file system as a process uses it. `reached`: called when it does. */
  filesFor(process: Living, reached: () => void): Files {
    return new SimFiles(process, reached, this, this.#trouble, this.#sabotage);
  }

  /** Cuts the power. */
  powerCut(): void {
    this.#locks.clear();
    this.root.powerCut(this.#trouble.random);
  }

  lock(path: string, process: Living): () => void {
    if (this.#locks.get(path)?.alive === true) {
      throw new ContextCacheError('DIRECTORY_LOCKED', `simulated: ${path} is in use`);
    }
    this.#locks.set(path, process);
    return () => void this.#locks.delete(path);
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      node = node instanceof SimDirectory ? node.entries.get(name) : undefined;
    }
    return node;
  }

  directory(path: string): SimDirectory {
    const node = this.find(path);
    if (node instanceof SimDirectory) return node;
    throw failure('ENOENT', `no such directory: ${path}`);
  }

  file(path: string): SimFile {
    const node = this.find(path);
    if (node instanceof SimFile) return node;
    throw failure('ENOENT', `no such file: ${path}`);
  }
}

/** The file system as one process uses it. Its calls never settle once the process is dead. */
class SimFiles implements Files {
  readonly #process: Living;
  readonly #reached: () => void;
  readonly #system: SimFileSystem;
  readonly #trouble: Trouble;
  readonly #sabotage: FilesSabotage;

  constructor(process: Living, reached: () => void, system: SimFileSystem, trouble: Trouble, sabotage: FilesSabotage) {
    this.#process = process;
    this.#reached = reached;
    this.#system = system;
    this.#trouble = trouble;
    this.#sabotage = sabotage;
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#called();
    if (this.#system.find(path) !== undefined) return;
    await this.makeDirectory(dirname(path));
    await this.#change(`mkdir ${path}`, () => {
      const directory = new SimDirectory();
      this.#system.directory(dirname(path)).change((entries) => entries.set(basename(path), directory));
    });
  }

  async list(path: string): Promise<readonly string[]> {
    await this.#called();
    const node = this.#system.find(path);
    return node instanceof SimDirectory ? [...node.entries.keys()].sort() : [];
  }

  async create(path: string, sync: boolean): Promise<WritableFile> {
    await this.#called();
    const file = new SimFile();
    await this.#change(`create ${path}`, () => {
      this.#system.directory(dirname(path)).change((entries) => entries.set(basename(path), file));
    });
    return this.#opened(file, path, sync);
  }

  async continue(path: string, sync: boolean): Promise<WritableFile> {
    await this.#called();
    return this.#opened(this.#system.file(path), path, sync);
  }

  open(path: string): ReadableFile {
    if (this.#trouble.isClosed) throw failure('EIO', `reading ${path}`);
    const file = this.#system.file(path);
    const read = (target: Uint8Array, offset: number) => {
      const length = file.read(target, offset, this.#system.hidesReserve);
      this.#sabotage.reads?.(path, Buffer.from(target.buffer, target.byteOffset, length), offset);
      return length;
    };
    return { read, close: () => {} };
  }

  async size(path: string): Promise<number> {
    await this.#called();
    const node = this.#system.find(path);
    return node instanceof SimFile ? node.length : 0;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#called();
    await this.#change(`rename ${from}`, () => {
      const file = this.#system.file(from);
      this.#system.directory(dirname(to)).change((entries) => {
        entries.delete(basename(from));
        entries.set(basename(to), file);
      });
    });
  }

  async remove(path: string): Promise<void> {
    await this.#called();
    if (this.#system.find(path) === undefined) return;
    await this.#change(`remove ${path}`, () => {
      this.#system.directory(dirname(path)).change((entries) => entries.delete(basename(path)));
      this.#system.onRemoved(path);
    });
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#called();
    await this.#trouble.delayed(this.#process, 4);
    const directory = this.#system.directory(path);
    const fate = this.#trouble.strike();
    if (fate !== 'lost' && this.#sabotage.forgetsNames?.(path) !== true) directory.sync();
    if (fate !== undefined) throw failure('EIO', `sync of ${path}`);
  }

  async lock(directory: string): Promise<() => Promise<void>> {
    await this.#called();
    if (this.#trouble.isClosed) throw failure('EIO', `lock of ${directory}`);
    await this.makeDirectory(directory);
    const unlock = this.#system.lock(directory, this.#process);
    this.#trouble.timeline.trace.note('disk locked');
    return async () => unlock();
  }

  async #called(): Promise<void> {
    this.#reached();
    await this.#trouble.delayed(this.#process, 2);
  }

  /** Changes names, unless that fails. */
  async #change(what: string, change: () => void): Promise<void> {
    const fate = this.#trouble.strike();
    this.#trouble.timeline.trace.note(`disk ${what} ${fate}`);
    if (fate !== 'lost') change();
    if (fate !== undefined) throw failure('EIO', what);
  }

  #opened(file: SimFile, path: string, sync: boolean): WritableFile {
    return new SimWritable(file, path, sync, this.#process, this.#trouble, this.#sabotage);
  }
}

/** A file that one process writes. */
class SimWritable implements WritableFile {
  readonly #file: SimFile;
  readonly #path: string;
  readonly #sync: boolean;
  readonly #process: Living;
  readonly #trouble: Trouble;
  readonly #sabotage: FilesSabotage;
  #closed = false;

  constructor(file: SimFile, path: string, sync: boolean, process: Living, trouble: Trouble, sabotage: FilesSabotage) {
    this.#file = file;
    this.#path = path;
    this.#sync = sync;
    this.#process = process;
    this.#trouble = trouble;
    this.#sabotage = sabotage;
  }

  async write(parts: readonly Uint8Array[], offset: number): Promise<void> {
    await this.#called();
    const { random, timeline } = this.#trouble;
    const bytes = parts.length === 1 ? viewOf(parts[0] as Uint8Array) : Buffer.concat(parts);
    if (this.#sabotage.skipsRepeats && this.#holds(bytes, offset)) return;
    const fate = this.#trouble.strike();
    timeline.trace.note(`disk write ${basename(this.#path)} ${offset} ${bytes.length} ${sumOf(bytes)} ${fate}`);
    if (fate === 'torn') this.#file.write(bytes.subarray(0, random.below(bytes.length)), offset);
    else if (fate !== 'lost') {
      // A process that is killed meanwhile has written a part.
      const done = random.below(4) === 0 ? random.below(bytes.length) : 0;
      this.#file.write(bytes.subarray(0, done), offset);
      await this.#trouble.delayed(this.#process, 3);
      this.#file.write(bytes.subarray(done), offset + done);
    }
    await this.#finish(this.#sync, fate !== undefined);
  }

  #holds(bytes: Buffer, offset: number): boolean {
    const present = Buffer.alloc(bytes.length);
    return this.#file.read(present, offset) === bytes.length && present.equals(bytes);
  }

  async sync(): Promise<void> {
    await this.#called();
    const fate = this.#trouble.strike();
    await this.#finish(true, fate !== undefined);
  }

  async truncate(length: number): Promise<void> {
    await this.#called();
    const fate = this.#trouble.strike();
    if (fate !== 'lost') this.#file.truncate(length);
    if (fate !== undefined) throw failure('EIO', `truncation of ${this.#path}`);
  }

  async close(): Promise<void> {
    await this.#called();
    this.#closed = true;
  }

  async #called(): Promise<void> {
    if (this.#closed) throw failure('EBADF', `${this.#path} is closed`);
    await this.#trouble.delayed(this.#process, 2);
  }

  async #finish(sync: boolean, fails: boolean): Promise<void> {
    if (sync) await this.#trouble.delayed(this.#process, 8);
    if (fails) {
      this.#file.forget(this.#trouble.random);
      throw failure('EIO', `writing of ${this.#path}`);
    }
    if (sync && this.#sabotage.lies?.(this.#path) !== true) this.#file.sync();
  }
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`simulated: ${code}, ${what}`), { code });
}

const ID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;

/** Returns the checksum of written bytes; 0 if they hold the id of a log, which is random. */
export function sumOf(bytes: Uint8Array): number {
  if (bytes.length > 64 * 1024) return 1;
  return ID.test(viewOf(bytes).toString('latin1')) ? 0 : crc32(bytes);
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
