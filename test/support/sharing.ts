import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readServeFile } from '../../src/wire/serve-file.ts';
import { projectRoot } from './dist.ts';

interface Report {
  readonly isReady?: true;
  readonly acknowledged?: readonly (readonly [string, number])[];
  readonly unknown?: readonly string[];
  readonly counted?: number;
  readonly countedPerhaps?: number;
  readonly failure?: string;
  readonly answer?: unknown;
}

/** What the processes of a {@link Sharing} have reported. */
export class Reported {
  /** Position of each acknowledged write, by key. */
  readonly acknowledged = new Map<string, number>();
  readonly unknown = new Set<string>();
  readonly failures: string[] = [];
  counted = 0;
  countedPerhaps = 0;
  /** When the last acknowledgement came, as `performance.now()`. */
  lastAt = 0;
  /** Longest time between two acknowledgements since {@link mark}, milliseconds. */
  longestGap = 0;

  /** Starts to measure {@link longestGap}. */
  mark(): void {
    this.lastAt = performance.now();
    this.longestGap = 0;
  }

  take({ acknowledged = [], unknown = [], counted = 0, countedPerhaps = 0, failure }: Report): void {
    for (const [key, position] of acknowledged) this.acknowledged.set(key, position);
    for (const key of unknown) this.unknown.add(key);
    this.counted += counted;
    this.countedPerhaps += countedPerhaps;
    if (failure !== undefined) this.failures.push(failure);
    if (acknowledged.length === 0) return;
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.lastAt);
    this.lastAt = now;
  }
}

/** One of the processes that share a directory. */
export class Sharer {
  readonly child: ChildProcess;
  /** Resolves once the process shares the directory, or has ended. */
  readonly ready: Promise<void>;
  readonly ended: Promise<unknown>;
  /** It was asked to shut down. */
  isLeaving = false;
  #answer: ((answer: unknown) => void) | undefined;

  constructor(dataDir: string, id: string, options: object, reported: Reported) {
    const script = join(projectRoot, 'test/share/sharing-child.mjs');
    this.child = fork(script, [join(projectRoot, 'dist'), dataDir, id, JSON.stringify(options)], { execArgv: [] });
    this.ended = once(this.child, 'exit');
    this.ready = new Promise((resolve) => {
      this.child.on('message', (message) => {
        const report = message as Report;
        if (report.isReady) resolve();
        reported.take(report);
        if ('answer' in report) this.#answer?.(report.answer);
      });
      // The others may end one that was paused before it was ready.
      void this.ended.then(() => resolve());
    });
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  ask(action: 'rest' | 'watched' | 'head' | 'retract' | 'shutdown', argument?: number): Promise<unknown> {
    if (action === 'shutdown') this.isLeaving = true;
    return new Promise((resolve) => {
      this.#answer = resolve;
      void this.ended.then(() => resolve(undefined));
      if (this.child.connected) this.child.send({ action, argument });
    });
  }

  async kill(): Promise<void> {
    if (this.isRunning) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Processes that share a directory, and write to it all the time. */
export class Sharing implements AsyncDisposable {
  readonly reported = new Reported();
  readonly dataDir: string;
  readonly #options: object;
  readonly #sharers = new Set<Sharer>();
  #count = 0;

  constructor(dataDir: string, options: object = {}) {
    this.dataDir = dataDir;
    this.#options = options;
  }

  /** The processes that run, or are paused. */
  get sharers(): Sharer[] {
    return [...this.#sharers].filter(({ isRunning }) => isRunning);
  }

  /** Starts a process. Each second one repeats its writes after a lost connection: `p2`, `p4` … */
  start(): Sharer {
    this.#count += 1;
    const options = { repeatWrites: this.#count % 2 === 0, ...this.#options };
    const sharer = new Sharer(this.dataDir, `p${this.#count}`, options, this.reported);
    this.#sharers.add(sharer);
    void sharer.ended.then(() => this.#sharers.delete(sharer));
    return sharer;
  }

  /** The process that holds the directory; `undefined` while none of these does. */
  async holder(): Promise<Sharer | undefined> {
    const file = await readServeFile(this.dataDir);
    return this.sharers.find(({ child }) => child.pid === file?.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.sharers.map((sharer) => sharer.kill()));
  }
}
