import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { projectRoot } from '../support/dist.ts';

/** A script in a process of its own with `--expose-gc`. It gets its job as JSON and reports in lines. */
export class ReportingChild implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  /** Adds `dist` to the job. Build it before. */
  constructor(script: string, job: object) {
    const text = JSON.stringify({ dist: join(projectRoot, 'dist'), ...job });
    this.#child = spawn(process.execPath, ['--expose-gc', script, text], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = once(this.#child, 'exit');
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Resolves with the next line that it prints. */
  async next(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`The process ended with ${this.#child.exitCode ?? this.#child.signalCode}.`);
    return value;
  }

  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
