import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Said, spawnNode } from './crash-process.ts';

/** A failure of the disk. */
export interface DiskFault {
  /** Which calls are counted. */
  readonly kinds: readonly ('write' | 'sync' | 'rename')[];
  /** The how-manieth of them fails. */
  readonly n: number;
  readonly error: 'EIO' | 'ENOSPC';
  /** Whether all after it fail, too, until it is lifted. */
  readonly forever?: boolean;
  /** What becomes of what the call was to do. Default: nothing of it is done. */
  readonly fate?: 'lost' | 'torn' | 'done';
  /** Only files whose path begins so. */
  readonly directory: string;
}

/** What `disk-child.mjs` is told. */
export interface DiskChildOptions {
  readonly dataDir: string;
  readonly commands: string;
  readonly durability: 'log' | 'memory';
  readonly mirror?: string;
  /** One after the other, each until the disk works again. `full`: the disk is full until `ballast` is removed. */
  readonly faults: readonly (DiskFault | { readonly full: true })[];
  /** While the directory is opened. */
  readonly opening?: DiskFault;
  readonly ballast?: string;
  /** After the faults it goes on up to this command. */
  readonly upTo: number;
  /** It stays where it says that it reads, to be killed there: it could be done before the kill reaches it. */
  readonly stayAtReads?: boolean;
}

/** What such a child has said. */
export class DiskSaid extends Said {
  readonly lines: string[] = [];
  /** Commands that were rejected as not done. */
  readonly refused = new Set<number>();
  /** Acknowledgements that must not be: given while degraded, or to what was asked after the log's file had failed. */
  readonly wrong: string[] = [];

  override take(line: string): string {
    this.lines.push(line);
    const word = super.take(line);
    const parts = line.split(' ');
    // What changes nothing is answered from what is committed, at any time.
    if (word === 'a' && parts[3] === '1' && (parts[4] !== 'ready' || parts[5] !== '0')) this.wrong.push(line);
    if (word === 'e' && parts[2] === 'LOG_UNAVAILABLE') this.refused.add(Number(parts[1]));
    if (word === 'e' && parts[2] === 'OUTCOME_UNKNOWN' && parts[3] === 'ready') this.wrong.push(line);
    return word;
  }

  /** Codes of the rejections that the commands themselves do not account for. */
  get rejectedButConflicts(): string[] {
    return [...this.rejected.values()].filter((code) => code !== 'VERSION_CONFLICT');
  }

  /** What became of each fault: the words in which it was told, such as `armed hit degraded reads lifted ready`. */
  courses(faults: number): string[] {
    return Array.from({ length: faults }, (_, index) =>
      this.lines
        .map((line) => line.split(' '))
        .filter(([word, number]) => word !== 'a' && word !== 'e' && number === String(index))
        .map(([word]) => word)
        .join(' '),
    );
  }

  /** The rest of the lines that begin with a word. */
  told(word: string): string[] {
    return this.lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  }
}

/** Compiles the shim; gives its path, or why that is not to be had. */
export async function compileShim(home: string): Promise<{ shim: string } | { missing: string }> {
  if (process.platform !== 'linux') return { missing: 'LD_PRELOAD as it is used here needs Linux' };
  const shim = join(home, 'disk-faults.so');
  const source = join(import.meta.dirname, 'disk-faults.c');
  try {
    await promisify(execFile)('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', shim, source, '-ldl']);
    return { shim };
  } catch (error) {
    // Only where there is none: a shim that does not compile must not pass for a missing compiler.
    if ((error as { code?: unknown }).code === 'ENOENT') return { missing: 'there is no gcc' };
    throw error;
  }
}

/** Runs a child on a disk that fails. With `killAt`, it is killed with the first line that begins so. */
export async function runOnBadDisk(
  shim: string,
  home: string,
  options: DiskChildOptions | { readonly location: string },
  killAt?: string,
  script = 'disk-child.mjs',
): Promise<DiskSaid> {
  const control = join(home, 'control');
  await writeFile(control, Buffer.alloc(4096));
  const env = { LD_PRELOAD: shim, DISK_FAULTS: control, UV_USE_IO_URING: '0' };
  const child = spawnNode(script, { ...options, control }, env);
  const ended = once(child, 'close');
  const said = new DiskSaid();
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    if (said.take(line) === killAt) child.kill('SIGKILL');
  }
  const [code, signal] = await ended;
  said.killed = signal === 'SIGKILL';
  if (!said.killed && code !== 0)
    throw new Error(`The child ended with code ${code}, signal ${signal}, ${said.lines.slice(-3).join('; ')}.`);
  return said;
}
