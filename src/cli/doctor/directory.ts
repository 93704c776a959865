import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isDataDirectory } from '../../engine/restore.ts';
import { type CacheHealth, ContextCacheError } from '../../index.ts';
import { readServeFile } from '../../wire/serve-file.ts';
import { openTarget, type Target } from '../target.ts';
import { describe } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import type { Finding } from './finding.ts';

const MIB = 1024 * 1024;
/** Below this many bytes, the log soon cannot grow. */
const LITTLE_SPACE = 256 * MIB;
const NO_SPACE = 16 * MIB;

/** The findings about the data directory. */
export interface DirectoryFindings {
  readonly findings: readonly Finding[];
  /** Time of the last update, epoch milliseconds. */
  readonly lastUpdateAt?: number | undefined;
}

/** Checks the data directory, or the one it would be created in. Opens it and changes nothing. */
export async function checkDirectory(dataDir: string, output: Output): Promise<DirectoryFindings> {
  const path = resolve(dataDir);
  const isThere = await isDataDirectory(path);
  const folder = await nearestExisting(path);
  const findings = [await checkAccess(folder), await checkSpace(folder)].filter((finding) => finding !== undefined);
  if (!isThere) {
    const message = `${path} does not exist yet; "context-cache set", "apply" or "serve" creates it`;
    return { findings: [{ check: 'directory', status: 'note', message }, ...findings] };
  }
  const privacy = await checkMode(path);
  const { finding, lastUpdateAt } = await openAndCheck(path, output);
  return { findings: [finding, ...(privacy === undefined ? [] : [privacy]), ...findings], lastUpdateAt };
}

/** Returns the path, or its nearest parent that exists. */
async function nearestExisting(path: string): Promise<string> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere || dirname(path) === path ? path : nearestExisting(dirname(path));
}

async function checkAccess(folder: string): Promise<Finding | undefined> {
  if (!(await stat(folder)).isDirectory()) {
    const remedy = 'Name another with --data-dir.';
    return { check: 'directory', status: 'problem', message: `${folder} is a file`, remedy };
  }
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const message = `${folder} cannot be written (${(error as NodeJS.ErrnoException).code})`;
    const remedy = 'Make the user who runs this its owner (chown), or name another with --data-dir.';
    return { check: 'directory', status: 'problem', message, remedy };
  }
}

async function checkSpace(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const message = `${shownCount(Math.floor(free / MIB))} MiB free`;
  if (free >= LITTLE_SPACE) return { check: 'directory', status: 'ok', message };
  const remedy = 'Free some space, or discard the past: context-cache compact --keep 30d.';
  return { check: 'directory', status: free < NO_SPACE ? 'problem' : 'warning', message: `only ${message}`, remedy };
}

async function checkMode(path: string): Promise<Finding | undefined> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0 || process.platform === 'win32') return undefined;
  const message = `other users of this machine can read ${path}`;
  return { check: 'directory', status: 'warning', message, remedy: `chmod 700 ${path}` };
}

/** Opens the directory, which checks files, log and format; or asks the process that serves it. */
async function openAndCheck(
  path: string,
  output: Output,
): Promise<{ finding: Finding; lastUpdateAt?: number | undefined }> {
  const served = await readServeFile(path);
  try {
    await using target = await openTarget({ dataDir: path, output });
    const health = (await target.ask({ type: 'cache.health' })) as CacheHealth;
    const who = served === undefined ? 'not served' : `served by process ${served.pid} on 127.0.0.1:${served.port}`;
    return { finding: judge(`${path}: ${who}`, health), lastUpdateAt: await lastUpdateAt(target, health) };
  } catch (error) {
    const { message } = describe(error);
    const code = error instanceof ContextCacheError ? error.code : undefined;
    const status = code === 'UNREACHABLE' ? 'unreachable' : code === 'DIRECTORY_LOCKED' ? 'locked' : 'problem';
    return { finding: { check: 'directory', status, message, ...remedyOf(error) } };
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

/** Returns a remedy for errors whose message has none. */
function remedyOf(error: unknown): { remedy?: string } {
  if (!(error instanceof ContextCacheError) || error.code !== 'LOG_CORRUPT') return {};
  return { remedy: 'Keep a copy, find the damage with "context-cache verify", and restore into a new directory.' };
}
