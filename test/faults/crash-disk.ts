import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { removeTempDir, runDirectory, tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);

/** EXT4_IOC_SHUTDOWN with "do not flush the journal": the file system writes nothing more from now on. */
const SWITCH = `
  $| = 1; print "mounted\\n";
  while (<STDIN>) {
    open(my $root, '<', $ARGV[0]) or die "open: $!"; my $flags = pack('L', 2);
    ioctl($root, 0x8004587d, $flags) or die "ioctl: $!"; close $root; print "off\\n";
  }`;

/** Mounts in its own mount namespace and waits. Mount and loop device end with it, however the test ends. */
const HOLD = 'mount "$@" && exec perl -e "$SWITCH" "$DIR"';

/**
 * A file system held by one process. When that process ends, at the latest with this one, the file system is gone and
 * its loop device is free. Other processes reach it through that process, by `path`.
 */
export class Mount implements AsyncDisposable {
  /** Its root directory, as this process and its children see it. */
  readonly path: string;
  readonly #holder: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(path: string, holder: ChildProcess, lines: AsyncIterator<string>) {
    this.path = path;
    this.#holder = holder;
    this.#lines = lines;
  }

  /** `args`: arguments of `mount`, without the directory. */
  static async make(args: readonly string[]): Promise<Mount> {
    const directory = await tempDir('mount');
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', HOLD, 'sh', ...args, directory];
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...unshare], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, SWITCH, DIR: directory },
    });
    let complaint = '';
    holder.stderr.on('data', (text) => {
      complaint += text;
    });
    holder.once('close', () => removeTempDir(directory));
    const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
    if ((await lines.next()).value !== 'mounted') throw new Error(`mount ${args.join(' ')}: ${complaint}`);
    return new Mount(`/proc/${holder.pid}/root${directory}`, holder, lines);
  }

  /** Cuts the power: from now on nothing is written, not even what is under way. */
  async cutPower(): Promise<void> {
    this.#holder.stdin?.write('off\n');
    if ((await this.#lines.next()).value !== 'off') throw new Error('The file system could not be switched off.');
  }

  /** Unmounts. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const closed = once(this.#holder, 'close');
    this.#holder.kill('SIGKILL');
    await closed;
  }
}

/** A small disk with ext4 on it, in a file. */
export class DiskImage {
  readonly file: string;

  private constructor(file: string) {
    this.file = file;
  }

  static async make(home: string, megabytes: number): Promise<DiskImage> {
    const file = join(await mkdtemp(join(home, 'disk-')), 'image');
    await run('truncate', ['-s', `${megabytes}M`, file]);
    await run('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', file]);
    return new DiskImage(file);
  }

  /** Returns what the disk has received so far, without what is only in the file system's page cache. */
  async copy(): Promise<DiskImage> {
    const copy = join(await mkdtemp(join(dirname(dirname(this.file)), 'disk-')), 'image');
    await copyFile(this.file, copy);
    return new DiskImage(copy);
  }

  remove(): Promise<void> {
    return rm(dirname(this.file), { recursive: true });
  }

  /** The journal writes nothing by itself for five minutes, so only synced data reaches the disk. */
  mount(): Promise<Mount> {
    return Mount.make(['-t', 'ext4', '-o', 'loop,commit=300', this.file]);
  }
}

/** Reason why nothing can be mounted here; `undefined` if mounting works. */
export function mountingMissing(args: readonly string[]): string | undefined {
  if (process.platform !== 'linux') return 'mounting as these tests do it needs Linux';
  if (process.getuid?.() !== 0) return 'mounting needs root';
  for (const program of ['setpriv', 'unshare', 'mount', 'perl', 'mkfs.ext4']) {
    if (!['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((directory) => existsSync(join(directory, program))))
      return `${program} is not there`;
  }
  const directory = mkdtempSync(join(runDirectory(), 'mount-'));
  try {
    execFileSync('unshare', ['--mount', '--propagation', 'private', 'mount', ...args, directory], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `mount ${args.join(' ')} fails: ${String((error as { stderr?: Buffer }).stderr).trim()}`;
  } finally {
    rmdirSync(directory);
  }
}
