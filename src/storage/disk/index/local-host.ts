import { join } from 'node:path';
import type { Clock } from '../../../core/clock.ts';
import { ContextCacheError } from '../../../core/errors.ts';
import { TimeSlice } from '../../../core/time-slice.ts';
import type { Files } from '../files.ts';
import { compressSegment } from '../log/compress-segment.ts';
import { FileLog, type LogFileNames } from '../log/file-log.ts';
import type { TakeChange } from './index-change.ts';
import type { IndexHost, IndexTask } from './index-host.ts';
import { IndexWriter } from './index-writer.ts';
import type { LevelStorage, OpenStorage } from './leveldb/level-storage.ts';

/** Options of {@link LocalHost}. */
export interface LocalHostOptions {
  readonly files: Files;
  /** Folder that holds the log. */
  readonly path: string;
  /** Id of the log. */
  readonly log: string;
  readonly location: string;
  readonly openStorage: OpenStorage;
  readonly keepsValues: boolean;
  readonly clock: Clock;
  readonly take: TakeChange;
}

/** Writes the index in the thread that it is called in. */
export class LocalHost implements IndexHost {
  readonly #options: LocalHostOptions;
  #storage: LevelStorage | undefined;
  #log: FileLog | undefined;
  #writer: Promise<IndexWriter> | undefined;
  #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: LocalHostOptions) {
    this.#options = options;
  }

  async open(): Promise<LevelStorage> {
    this.#stop = new AbortController();
    this.#storage = await this.#options.openStorage(this.#options.location);
    return this.#storage;
  }

  run(task: IndexTask, names: LogFileNames): Promise<void> {
    const done = this.#run(task, names);
    // Without its result, which would hold those of all tasks before.
    this.#running = Promise.allSettled([this.#running, done]).then(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    this.#stop.abort(new ContextCacheError('CLOSED', 'The index has been closed.'));
    await this.#running;
    await this.#storage?.close().catch(() => undefined);
    this.#log?.close();
    this.#storage = undefined;
    this.#log = undefined;
    this.#writer = undefined;
  }

  async #run(task: IndexTask, names: LogFileNames): Promise<void> {
    this.#log?.follow(names);
    if (task.type === 'compress') {
      const { files, path, clock } = this.#options;
      return compressSegment(files, join(path, 'log'), task.file, new TimeSlice(clock, this.#stop.signal));
    }
    this.#writer ??= this.#start(names);
    const writer = await this.#writer;
    if (task.type === 'fold') await writer.fold(task.through);
    else if (task.type === 'since') await writer.raiseSince(task.position);
    else await writer.trim(task.position, task.wholly);
  }

  #start(names: LogFileNames): Promise<IndexWriter> {
    const { files, path, log: id, keepsValues, clock, take } = this.#options;
    if (this.#storage === undefined) return Promise.reject(new Error('The index is not open.'));
    this.#log = new FileLog(files, { path, id, ...names });
    const { signal } = this.#stop;
    return IndexWriter.open({ storage: this.#storage, log: this.#log, keepsValues, clock, take, signal });
  }
}
