import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../../core/clock.ts';
import { toError } from '../../../core/errors.ts';
import { nodeFiles } from '../files.ts';
import type { LogFileNames } from '../log/file-log.ts';
import type { TakeChange } from './index-change.ts';
import { DamagedIndex, ThreadNotStarted } from './index-errors.ts';
import type { IndexHost, IndexTask } from './index-host.ts';
import { type LevelStorage, openLevel } from './leveldb/level-storage.ts';
import { LocalHost } from './local-host.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-messages.ts';

/** Options of {@link WorkerHost}. */
export interface WorkerHostOptions extends WorkerSettings {
  readonly take: TakeChange;
  /** Returns the position that the index has reached. */
  readonly checkpoint: () => number;
}

/**
 * Up to this many updates are folded in the main thread as long as no worker runs: 5 µs each, where starting and ending a
 * thread takes 170 ms.
 */
const FEW_UPDATES = 512;

interface Call {
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Returns the program of the thread. In a program that was bundled, and runs without the package, it is expected beside the
 * bundle.
 */
function entryOfThread(): URL | string {
  const beside = new URL(`./index-worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);
  if (import.meta.url.endsWith('.ts')) return beside;
  try {
    const root = dirname(createRequire(import.meta.url).resolve('agent-context-cache/package.json'));
    return join(root, 'dist/src/storage/disk/index/index-worker.js');
  } catch {
    return beside;
  }
}

/**
 * Writes the index in a worker thread, which is started by the first call that is worth it. It keeps the process alive
 * only during a call.
 */
export class WorkerHost implements IndexHost {
  readonly #options: WorkerHostOptions;
  /** The handle of the main thread. It is opened first and closed last; see {@link openLevel}. */
  #storage: LevelStorage | undefined;
  #worker: Worker | undefined;
  /** Writes in the main thread, before the worker is started. */
  #local: LocalHost | undefined;
  /** Settles when the tasks in the main thread have ended. */
  #localTasks: Promise<unknown> = Promise.resolve();
  #turn: Promise<unknown> = Promise.resolve();
  #ended: Promise<void> = Promise.resolve();
  readonly #calls = new Map<number, Call>();
  #lastCall = 0;

  constructor(options: WorkerHostOptions) {
    this.#options = options;
  }

  async open(): Promise<LevelStorage> {
    this.#storage = await openLevel(this.#options.location);
    return this.#storage;
  }

  /** Chooses the thread, and starts the task in it before the next one is chosen for. */
  async run(task: IndexTask, names: LogFileNames): Promise<void> {
    const isLittle =
      task.type === 'since' || (task.type === 'fold' && task.through - this.#options.checkpoint() <= FEW_UPDATES);
    const started = this.#turn.then(async () => {
      if (isLittle && this.#worker === undefined) {
        this.#local ??= await this.#openLocal();
        const done = this.#local.run(task, names);
        // Without its result, which would hold those of all tasks before.
        this.#localTasks = Promise.allSettled([this.#localTasks, done]).then(() => undefined);
        return { done };
      }
      // Closing the local host would abort them.
      await this.#localTasks;
      await this.#leaveLocal();
      return { done: this.#call(task, names) };
    });
    this.#turn = started.catch(() => undefined);
    const { done } = await started;
    await done;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#leaveLocal();
    const worker = this.#worker;
    if (worker !== undefined) {
      worker.ref();
      this.#post({ type: 'close' });
    }
    await this.#ended;
    await this.#storage?.close().catch(() => undefined);
    this.#storage = undefined;
  }

  async #openLocal(): Promise<LocalHost> {
    const { path, log, location, keepsValues, take } = this.#options;
    const storage = this.#storage;
    if (storage === undefined) throw new Error('The index is not open.');
    const host = new LocalHost({
      ...{ files: nodeFiles, path, log, location, keepsValues, clock: systemClock },
      // The handle stays open for the readers of this thread.
      openStorage: async () => ({ ...storage, close: async () => {} }),
      take,
    });
    await host.open();
    return host;
  }

  /** Ends what is written in the main thread, before the worker writes. */
  async #leaveLocal(): Promise<void> {
    await this.#local?.close();
    this.#local = undefined;
  }

  #call(task: IndexTask, names: LogFileNames): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#storage === undefined) return reject(new Error('The index is not open.'));
      this.#worker ??= this.#start();
      this.#lastCall += 1;
      this.#calls.set(this.#lastCall, { resolve, reject });
      this.#worker.ref();
      this.#post({ type: 'run', id: this.#lastCall, task, names });
    });
  }

  #start(): Worker {
    const { path, log, location, keepsValues } = this.#options;
    const settings: WorkerSettings = { path, log, location, keepsValues };
    const worker = new Worker(entryOfThread(), {
      workerData: settings,
      name: 'index of agent-context-cache',
      ...argumentsOf(),
    });
    let failure: Error | undefined;
    let hasStarted = false;
    worker.once('message', () => {
      hasStarted = true;
    });
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (error) => {
      failure = toError(error);
    });
    this.#ended = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#worker = undefined;
        const cause = failure?.message ?? 'it was ended';
        const error =
          hasStarted || failure === undefined
            ? new Error(`The thread that writes the index has stopped: ${cause}.`, { cause: failure })
            : new ThreadNotStarted(`The thread that writes the index cannot be started: ${cause}.`, { cause: failure });
        for (const call of this.#calls.values()) call.reject(error);
        this.#calls.clear();
        resolve();
      });
    });
    return worker;
  }

  #receive(message: FromWorker): void {
    if (message.type === 'written') {
      void this.#options.take(message.change).then(
        () => this.#post({ type: 'taken' }),
        (error) => this.#post({ type: 'taken', refusal: toError(error).message }),
      );
      return;
    }
    if (message.type === 'started') return;
    if (message.type === 'closed') {
      void this.#worker?.terminate();
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (this.#calls.size === 0) this.#worker?.unref();
    if (message.type === 'done') call?.resolve();
    else
      call?.reject(
        message.isDamage ? new DamagedIndex(message.error.message, { cause: message.error }) : message.error,
      );
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }
}

/** Node refuses to start a thread from a file with the option for a program that is given on the command line. */
function argumentsOf(): { execArgv?: string[] } {
  return process.execArgv.some((each) => each.startsWith('--input-type')) ? { execArgv: [] } : {};
}
