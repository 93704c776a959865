import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { serialize } from 'node:v8';
import { build } from 'esbuild';
import { projectRoot } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { Verdict } from './damage-case.ts';
import type { Recorded } from './damage-model.ts';

/** A damaged directory to be judged. */
export interface Job {
  readonly dataDir: string;
  readonly seed: number;
}

/** A verdict, or that LevelDB aborted the process over the directory. */
export type Outcome = Verdict | { readonly aborted: string };

/** Judges damaged directories in processes of their own, because LevelDB asserts some of what it reads from disk. */
export class Judges implements AsyncDisposable {
  readonly #script: string;
  readonly #recorded: string;
  readonly #idle: Judge[] = [];

  private constructor(script: string, recorded: string) {
    this.#script = script;
    this.#recorded = recorded;
  }

  /** Bundles the judge for Node; `recorded` is what the directories were filled with. */
  static async of(recorded: Recorded): Promise<Judges> {
    // Inside the project, so that its packages are found.
    const outdir = join(projectRoot, 'node_modules/.cache/faults', `damage-${process.pid}`);
    await build({
      entryPoints: {
        judge: join(import.meta.dirname, 'damage-judge.ts'),
        // The thread of the index is started from beside the bundle.
        'index-worker': join(projectRoot, 'src/storage/disk/index/index-worker.ts'),
      },
      outExtension: { '.js': '.mjs' },
      ...{
        outdir,
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'esm',
        packages: 'external',
        logLevel: 'error',
      },
    });
    const path = join(await tempDir('damage-recorded'), 'updates');
    writeFileSync(path, serialize(recorded.updates));
    return new Judges(join(outdir, 'judge.mjs'), path);
  }

  async judge(job: Job): Promise<Outcome> {
    const judge = this.#idle.pop() ?? new Judge(this.#script, this.#recorded);
    const outcome = await judge.answer(job);
    if (typeof outcome !== 'object' || !('aborted' in outcome)) this.#idle.push(judge);
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.map((judge) => judge.end()));
  }
}

class Judge {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #errors = '';

  constructor(script: string, recorded: string) {
    this.#child = spawn(process.execPath, [script, recorded], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk).slice(-2_000);
    });
    this.#ended = once(this.#child, 'close');
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  async answer(job: Job): Promise<Outcome> {
    this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    const { done, value } = await this.#lines.next();
    if (!done) return JSON.parse(value) as Verdict;
    await this.#ended;
    if (this.#child.signalCode !== 'SIGABRT') return { wrong: `the judge ended: ${this.#errors}` };
    return { aborted: this.#errors.trim() };
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}
