import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { buildDist } from './dist.ts';

/** Tests that run the built package. A run without them does not wait for the compiler. */
const NEEDS_DIST = /cli|package|example|bench|readme|inspector/i;

/** Prefix of a run's directory; the id of the process that created it follows. */
const RUN_PREFIX = 'context-cache-run-';

/** Milliseconds that a server may take to end after its signal. */
const END_TIMEOUT_MS = 60_000;

/** Provides servers and build, and after the run removes its servers and directories. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  execFileSync(process.execPath, [join(import.meta.dirname, '../../scripts/test-servers.mjs')], { stdio: 'inherit' });
  // Not part of vitest's typed surface; without it everything is built, which only takes longer.
  const { filenamePattern: filters = [] } = project.vitest as { filenamePattern?: readonly string[] };
  if (filters.length === 0 || filters.some((filter) => NEEDS_DIST.test(filter))) await buildOrSay();
  sweep();
  const run = mkdtempSync(join(tmpdir(), `${RUN_PREFIX}${process.pid}-`));
  process.env.CONTEXT_CACHE_TEST_RUN = run;
  return () => tearDown(run);
}

/** A type error must not keep the tests of everything else from running; those of the build fail by themselves. */
async function buildOrSay(): Promise<void> {
  try {
    await buildDist();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/** A run that was killed had no chance to remove its directory. */
function sweep(): void {
  for (const name of namesIn(tmpdir())) {
    const owner = name.startsWith(RUN_PREFIX) ? Number.parseInt(name.slice(RUN_PREFIX.length), 10) : process.pid;
    if (owner > 0 && commandOf(owner) === undefined) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function tearDown(run: string): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  let left = leftServers(run);
  while (left.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = leftServers(run);
  }
  for (const { pid } of left) process.kill(pid, 'SIGKILL');
  rmSync(run, { recursive: true, force: true, maxRetries: 5 });
  if (left.length === 0) return;
  const names = left.map(({ pid, command }) => `${pid} ${command}`).join('\n');
  throw new Error(`These servers outlived the tests that had started them, and were killed:\n${names}`);
}

interface LeftServer {
  readonly pid: number;
  readonly command: string;
}

/** Every server leaves a file named by its process id in the run's directory until it has ended. */
function leftServers(run: string): LeftServer[] {
  const pids = join(run, 'pids');
  return namesIn(pids).flatMap((name) => {
    const command = commandOf(Number(name));
    return command !== undefined && /redis-server|nats-server/.test(command) ? [{ pid: Number(name), command }] : [];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Returns `undefined` if the process has ended. Checks the command, because its number may belong to another process by now. */
function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || undefined;
  } catch {
    return undefined;
  }
}
