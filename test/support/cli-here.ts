import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import type { Ran, RunOptions } from './cli.ts';
import { plainEnvironment } from './cli.ts';
import { projectRoot } from './dist.ts';

const entry = pathToFileURL(join(projectRoot, 'dist/test/support/cli-entry.js')).href;

let running: readonly string[] | undefined;

/**
 * Runs the built command line to its end in this process, which saves the start of another one: most of the time of a
 * command. One at a time. What needs a process (signals, a terminal, a pipe that is closed, two commands at once) uses
 * `run` of `cli.ts`.
 */
export async function run(
  args: readonly string[],
  { input = '', env = {}, cwd }: Omit<RunOptions, 'execArgv'> = {},
): Promise<Ran> {
  if (running !== undefined)
    throw new Error(`"${args.join(' ')}" would run beside "${running.join(' ')}". Start processes.`);
  running = args;
  const stdout = new Captured();
  const stderr = new Captured();
  const before = { env: process.env, cwd: process.cwd(), umask: process.umask(0o077) };
  const onWarning = ({ name, message, code }: Error & { code?: string }) => {
    stderr.write(`(node:${process.pid}) ${code === undefined ? '' : `[${code}] `}${name}: ${message}\n`);
  };
  process.on('warning', onWarning);
  const streams = { stdin: Readable.from([Buffer.from(input)]), stdout, stderr };
  const real = Object.entries(streams).map(([name, value]) => {
    const property = Object.getOwnPropertyDescriptor(process, name) as PropertyDescriptor;
    Object.defineProperty(process, name, { configurable: true, enumerable: true, value });
    return [name, property] as const;
  });
  process.env = { ...plainEnvironment(), ...env };
  try {
    if (cwd !== undefined) process.chdir(cwd);
    const { run: runHere } = (await import(/* @vite-ignore */ entry)) as typeof import('./cli-entry.ts');
    const code = await runHere(args);
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    for (const [name, property] of real) Object.defineProperty(process, name, property);
    process.off('warning', onWarning);
    process.env = before.env;
    process.chdir(before.cwd);
    process.umask(before.umask);
    running = undefined;
  }
}

class Captured extends Writable {
  readonly #pieces: Buffer[] = [];

  get text(): string {
    return Buffer.concat(this.#pieces).toString('utf8');
  }

  override _write(piece: Buffer, _: BufferEncoding, done: () => void): void {
    this.#pieces.push(piece);
    done();
  }
}
