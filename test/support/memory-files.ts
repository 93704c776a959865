import type { Files, ReadableFile, WritableFile } from '../../src/storage/disk/files.ts';

/** The content of a file, which outlives its names. */
interface Content {
  bytes: Buffer;
}

/**
 * Files in memory, for tests that open a log ten thousand times. Directories exist when they have files. Everything that was written is
 * on disk.
 */
export class MemoryFiles implements Files {
  /** Called after every change. */
  onChange: () => void = () => {};
  readonly #files = new Map<string, Content>();

  /** Returns a separate copy of all files. */
  copy(): MemoryFiles {
    const copy = new MemoryFiles();
    for (const [path, { bytes }] of this.#files) copy.#files.set(path, { bytes: Buffer.from(bytes) });
    return copy;
  }

  /** All paths with the bytes of the files, sorted. */
  get all(): [string, Buffer][] {
    const files = Array.from(this.#files, ([path, { bytes }]): [string, Buffer] => [path, bytes]);
    return files.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Paths of the files whose names end like this, sorted. */
  named(end: string): string[] {
    return this.all.map(([path]) => path).filter((path) => path.endsWith(end));
  }

  /** Returns the bytes of a file. */
  bytes(path: string): Buffer {
    return this.#content(path).bytes;
  }

  /** Replaces the bytes of a file. */
  put(path: string, bytes: Buffer): void {
    this.#files.set(path, { bytes });
  }

  async makeDirectory(): Promise<void> {}

  async list(path: string): Promise<readonly string[]> {
    const inside = this.all.filter(([each]) => each.startsWith(`${path}/`));
    return [...new Set(inside.map(([each]) => each.slice(path.length + 1).replace(/\/.*/, '')))];
  }

  async create(path: string): Promise<WritableFile> {
    const content = { bytes: Buffer.alloc(0) };
    this.#files.set(path, content);
    this.onChange();
    return this.#writable(content);
  }

  async continue(path: string): Promise<WritableFile> {
    return this.#writable(this.#content(path));
  }

  open(path: string): ReadableFile {
    const content = this.#content(path);
    return { read: (target, offset) => content.bytes.copy(target, 0, offset), close: () => {} };
  }

  async size(path: string): Promise<number> {
    return this.#files.get(path)?.bytes.length ?? 0;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#files.set(to, this.#content(from));
    this.#files.delete(from);
    this.onChange();
  }

  async remove(path: string): Promise<void> {
    for (const each of [...this.#files.keys()])
      if (each === path || each.startsWith(`${path}/`)) this.#files.delete(each);
    this.onChange();
  }

  async syncDirectory(): Promise<void> {}

  async lock(): Promise<() => Promise<void>> {
    return async () => {};
  }

  #content(path: string): Content {
    const content = this.#files.get(path);
    if (content !== undefined) return content;
    throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' });
  }

  #writable(content: Content): WritableFile {
    return {
      write: async (parts, offset) => {
        const bytes = Buffer.concat(parts);
        const end = offset + bytes.length;
        if (end > content.bytes.length) {
          content.bytes = Buffer.concat([content.bytes, Buffer.alloc(end - content.bytes.length)]);
        }
        bytes.copy(content.bytes, offset);
        this.onChange();
      },
      sync: async () => {},
      truncate: async (length) => {
        content.bytes = content.bytes.subarray(0, length);
        this.onChange();
      },
      close: async () => {},
    };
  }
}
