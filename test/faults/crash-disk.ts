import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { removeTempDir, runDirectory, tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);

/** EXT4_IOC_SHUTDOWN with "do not flush the journal": from now on the file system writes nothing more. */
const SWITCH = `
  $| = 1; print "mounted\\n";
  while (<STDIN>) {
    open(my $root, '<', $ARGV[0]) or die "open: $!"; my $flags = pack('L', 2);
    ioctl($root, 0x8004587d, $flags) or die "ioctl: $!"; close $root; print "off\\n";
  }`;

/** Mounts in a name space of its own and waits: whatever becomes of the test, mount and loop device end with it. */
const HOLD = 'mount "$@" && exec perl -e "$SWITCH" "$DIR"';

/**
 * A file system that only one process holds: it is gone, and its loop device free, when that process ends, which it
 * does with this one at the latest. Others reach it by `path`, through that process.
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

  /** `args` of `mount` but for the directory. */
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

  /** The power fails: nothing is written any more, at once and in the middle of whatever is under way. */
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

  /** What the disk has been given by now. What only the file system's page cache holds is not in it. */
  async copy(): Promise<DiskImage> {
    const copy = join(await mkdtemp(join(dirname(dirname(this.file)), 'disk-')), 'image');
    await copyFile(this.file, copy);
    return new DiskImage(copy);
  }

  remove(): Promise<void> {
    return rm(dirname(this.file), { recursive: true });
  }

  /** By itself the journal writes nothing for five minutes: only what is synced gets to the disk. */
  mount(): Promise<Mount> {
    return Mount.make(['-t', 'ext4', '-o', 'loop,commit=300', this.file]);
  }
}

/** Why nothing can be mounted here; `undefined` where it can. */
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
