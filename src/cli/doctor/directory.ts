import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type CacheHealth, ContextCacheError } from '../../index.ts';
import { readServeFile } from '../../serve/serve-file.ts';
import { openTarget, type Target } from '../target.ts';
import { describe } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import type { Finding } from './finding.ts';

const MIB = 1024 * 1024;
/** Under this the log will soon not be writable. */
const LITTLE_SPACE = 256 * MIB;
const NO_SPACE = 16 * MIB;

/** What was found of the data directory. */
export interface DirectoryFindings {
  readonly findings: readonly Finding[];
  /** When the last update was made; epoch milliseconds. */
  readonly lastUpdateAt?: number | undefined;
}

/** Whether the data directory, or the one it would be made in, can be used; it is opened, and nothing is changed in it. */
export async function lookAtDirectory(dataDir: string, output: Output): Promise<DirectoryFindings> {
  const path = resolve(dataDir);
  const isThere = await access(join(path, 'db', 'CURRENT')).then(
    () => true,
    () => false,
  );
  const place = await nearestThere(path);
  const findings = [await lookAtPlace(place), await lookAtSpace(place)].filter((finding) => finding !== undefined);
  if (!isThere) {
    const message = `${path} is not there yet; "context-cache set", "apply" or "serve" makes it`;
    return { findings: [{ check: 'directory', status: 'note', message }, ...findings] };
  }
  const privacy = await lookAtMode(path);
  const { finding, lastUpdateAt } = await lookInside(path, output);
  return { findings: [finding, ...(privacy === undefined ? [] : [privacy]), ...findings], lastUpdateAt };
}

/** The directory itself, or the nearest one above it that is there. */
async function nearestThere(path: string): Promise<string> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere || dirname(path) === path ? path : nearestThere(dirname(path));
}

async function lookAtPlace(place: string): Promise<Finding | undefined> {
  if (!(await stat(place)).isDirectory()) {
    const remedy = 'Name another with --data-dir.';
    return { check: 'directory', status: 'problem', message: `${place} is a file`, remedy };
  }
  try {
    await access(place, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const message = `${place} can not be written (${(error as NodeJS.ErrnoException).code})`;
    const remedy = 'Let the user who runs this own it (chown), or name another with --data-dir.';
    return { check: 'directory', status: 'problem', message, remedy };
  }
}

async function lookAtSpace(place: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(place);
  const free = bavail * bsize;
  const message = `${shownCount(Math.floor(free / MIB))} MiB free`;
  if (free >= LITTLE_SPACE) return { check: 'directory', status: 'ok', message };
  const remedy = 'Make room, or let go of the past: context-cache compact --keep 30d.';
  return { check: 'directory', status: free < NO_SPACE ? 'problem' : 'warning', message: `only ${message}`, remedy };
}

async function lookAtMode(path: string): Promise<Finding | undefined> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0 || process.platform === 'win32') return undefined;
  const message = `other users of this machine may look into ${path}`;
  return { check: 'directory', status: 'warning', message, remedy: `chmod 700 ${path}` };
}

/** Opening proves the files, the log and the format; through the process that serves it where one does. */
async function lookInside(
  path: string,
  output: Output,
): Promise<{ finding: Finding; lastUpdateAt?: number | undefined }> {
  const served = await readServeFile(path);
  try {
    await using target = await openTarget({ dataDir: path, output });
    const health = (await target.ask({ type: 'cache.health' })) as CacheHealth;
    const who =
      served === undefined ? 'nobody serves it' : `served by process ${served.pid} on 127.0.0.1:${served.port}`;
    return { finding: judge(`${path}: ${who}`, health), lastUpdateAt: await lastUpdateAt(target, health) };
  } catch (error) {
    const { message } = describe(error);
    const away = error instanceof ContextCacheError && error.code === 'UNREACHABLE';
    return { finding: { check: 'directory', status: away ? 'unreachable' : 'problem', message, ...remedyOf(error) } };
  }
}

function judge(what: string, { status, log, namespaces, followers, errors }: CacheHealth): Finding {
  const counts = `${shownAmount(namespaces.total, 'namespace')}, position ${shownCount(log.head)}`;
  if (status === 'ok') return { check: 'directory', status: 'ok', message: `${what}, ${counts}` };
  const failing = followers.filter(({ lastError }) => lastError !== undefined).map(({ name }) => name);
  const parts = [...failing, ...namespaces.failed.map((name) => `namespace ${name}`)].join(', ');
  const last = errors.last === undefined ? '' : ` (${errors.last.message})`;
  const message = `${what}, ${counts}, degraded: ${parts || log.status}${last}`;
  return { check: 'directory', status: 'warning', message, remedy: 'See "context-cache health".' };
}

async function lastUpdateAt(target: Target, { log }: CacheHealth): Promise<number | undefined> {
  if (log.head === 0 || log.first > log.head) return undefined;
  let text = '';
  for await (const chunk of target.log({ from: log.head, to: log.head })) text += chunk;
  return text === '' ? undefined : (JSON.parse(text) as { at: number }).at;
}

/** Where the message does not say it. */
function remedyOf(error: unknown): { remedy?: string } {
  if (!(error instanceof ContextCacheError) || error.code !== 'LOG_CORRUPT') return {};
  return { remedy: 'Keep a copy, look with "context-cache verify", and restore into a new directory.' };
}
