import { join } from 'node:path';
import type { Update } from '../../../core/update.ts';
import { readBase } from '../base/base-file.ts';
import type { Files } from '../files.ts';
import type { BaseNamespace, IndexedLog, LocatedUpdate, UpdateLocation, UpdateReader } from './logged-update.ts';
import { type Mark, Segments } from './segments.ts';

/** The files of a log at one time. */
export interface LogFileNames {
  /** Position of the base file; 0 without one. */
  readonly base: number;
  /** First positions of the files with updates, in ascending order. */
  readonly firsts: readonly number[];
  /** The start of a frame from which a reader may continue, so that it need not search the file from its start. */
  readonly mark?: Mark | undefined;
  /** Number of files that were replaced by their compressed form since the log was opened. */
  readonly exchanged?: number | undefined;
}

/** Settings of a {@link FileLog}; they can be sent to another thread. */
export interface FileLogSettings extends LogFileNames {
  /** Folder that holds `log` and `base`. */
  readonly path: string;
  /** Id of the log. */
  readonly id: string;
}

/** The files of a log for a reader of its own, such as a thread that follows them. */
export class FileLog implements IndexedLog, UpdateReader {
  readonly id: string;
  readonly #files: Files;
  readonly #path: string;
  readonly #segments: Segments;
  #base: number;
  #exchanged: number | undefined;

  constructor(files: Files, { path, id, base, firsts, mark, exchanged }: FileLogSettings) {
    this.id = id;
    this.#files = files;
    this.#path = path;
    this.#base = base;
    this.#exchanged = exchanged;
    this.#segments = new Segments(files, join(path, 'log'), firsts);
    this.#segments.mark(mark);
  }

  get base(): number {
    return this.#base;
  }

  /** Must be called before updates are read that lie in files which came since. */
  follow({ base, firsts, mark, exchanged }: LogFileNames): void {
    this.#base = base;
    if (exchanged !== this.#exchanged) this.#segments.reopen();
    this.#exchanged = exchanged;
    this.#segments.follow(firsts);
    this.#segments.mark(mark);
  }

  readBase(): AsyncIterable<BaseNamespace> {
    return readBase(this.#files, join(this.#path, 'base'), { log: this.id, position: this.#base });
  }

  async *readLocated(from: number, to: number): AsyncGenerator<readonly LocatedUpdate[]> {
    for (let next = from; next <= to; ) {
      const updates = this.#segments.readLocated(next, to);
      yield updates;
      next += updates.length;
    }
  }

  updateAt(position: number, location: UpdateLocation): Update {
    return this.#segments.updateAt(position, location);
  }

  close(): void {
    this.#segments.close();
  }
}
