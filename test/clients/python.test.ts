import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { projectRoot } from '../support/dist.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

const PATH = join(projectRoot, 'clients/python');
const TOKEN = 'token-of-this-test-and-no-other';
// Without Python 3 there is nothing to run the client with.
const hasPython = spawnSync('python3', ['--version']).status === 0;
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function memory(): AgentContextCache {
  const cache = new AgentContextCache({ natsUrl: null });
  closing.push(() => cache.shutdown({ timeoutMs: 0 }));
  return cache;
}

function start(program: string, ...args: readonly string[]) {
  const source = `import json, sys\nfrom agent_context_cache import *\n${program}`;
  const env = { ...process.env, PYTHONPATH: PATH, PYTHONDONTWRITEBYTECODE: '1' };
  const child = spawn('python3', ['-u', '-c', source, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  closing.push(async () => child.kill('SIGKILL'));
  return child;
}

/** Runs a program to its end; returns the JSON that it prints. */
async function run(program: string, ...args: readonly string[]): Promise<unknown> {
  const child = start(program, ...args);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (piece) => (stdout += piece));
  child.stderr.on('data', (piece) => (stderr += piece));
  await once(child, 'close');
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout);
}

describe.skipIf(!hasPython)('the Python client', () => {
  test('reads, writes and looks back', async () => {
    const cache = memory();
    const server = await startServer(cache);
    const program = `
cache = Cache(sys.argv[1], token=sys.argv[2])
missing = cache.get("plan", "trip", default="none")
written = cache.set("plan", {"to": "Oslo", "é😀": None}, "trip", agent="planner", ttl="1h", meta={"why": "asked"})
cache.update("plan", lambda plan: {**plan, "days": 4}, "trip", agent="other")
cache.set("null", None)
cache.set("gone", 1); cache.delete("gone")
print(json.dumps([missing, written, cache.get("plan", "trip"), cache.entry("plan", "trip")["agent"],
  cache.get("null", default="none"), cache.entry("gone"), cache.keys("trip", prefix="pl", limit=5), cache.namespaces(),
  [[v["version"], v["agent"]] for v in cache.history("plan", "trip")],
  [c["key"] for c in cache.changes(0)["changes"]], cache.health()["log"]["head"]]))`;
    expect(await run(program, server.url, server.token)).toEqual([
      ...[
        'none',
        { version: 1, position: 1, changed: true },
        { to: 'Oslo', 'é😀': null, days: 4 },
        'other',
        null,
        null,
      ],
      ...[['plan'], ['default', 'trip']],
      [
        [2, 'other'],
        [1, 'planner'],
      ],
      ...[['plan', 'null', 'gone'], 5],
    ]);
    expect(cache.get('plan', 'trip')).toEqual({ to: 'Oslo', 'é😀': null, days: 4 });
  });

  test('raises typed errors, a conflict with the current entry', async () => {
    const cache = memory();
    const server = await startServer(cache);
    await cache.set('plan', 'mine', 'default', { agent: 'other' });
    const program = `
def code(call):
  try: call()
  except VersionConflict as error: return [error.code, error.current and error.current["value"]]
  except CacheError as error: return [error.code, type(error).__name__]
cache = Cache(sys.argv[1], token=sys.argv[2])
print(json.dumps([code(lambda: cache.set("plan", "yours", ifVersion=0)), code(lambda: cache.set("new", 1, ifPresent=True)),
  code(lambda: cache.set("", 1, "")), code(lambda: cache.set("plan", float("nan"))), code(lambda: cache.set("plan", {1, 2})),
  code(lambda: cache.set("plan", 1, tll=5)), code(lambda: cache.changes(99)), code(lambda: cache.keys(prefx="a")),
  code(lambda: Cache(sys.argv[1], token="another-token-than-that").get("plan")), code(lambda: Cache(sys.argv[1])),
  code(lambda: Cache("/nowhere").get("plan")), code(lambda: Cache("http://127.0.0.1:9", token="t").get("plan"))]))`;
    expect(await run(program, server.url, server.token)).toEqual([
      ...[
        ['VERSION_CONFLICT', 'mine'],
        ['VERSION_CONFLICT', null],
        ['INVALID_NAME', 'CacheError'],
        ['INVALID_VALUE', 'CacheError'],
        ['INVALID_VALUE', 'CacheError'],
        ['INVALID_COMMAND', 'CacheError'],
      ],
      ...[
        ['INVALID_OPTION', 'CacheError'],
        ['INVALID_OPTION', 'CacheError'],
        ['UNAUTHORIZED', 'CacheError'],
        ['INVALID_OPTION', 'CacheError'],
        ['UNREACHABLE', 'Unreachable'],
        ['UNREACHABLE', 'Unreachable'],
      ],
    ]);
  });

  test('loses no update of several processes', async () => {
    const cache = memory();
    const server = await startServer(cache);
    const program = `
cache = Cache(sys.argv[1], token=sys.argv[2])
for _ in range(20): cache.update("count", lambda count: (count or 0) + 1)
print("null")`;
    await Promise.all([1, 2, 3].map(() => run(program, server.url, server.token)));
    expect(cache.get('count')).toBe(60);
  });

  test('watches over a server that is away, without gap or duplicate', async () => {
    const cache = memory();
    const port = await freePort();
    const first = await startServer(cache, { port, token: TOKEN });
    const child = start(
      `
for update in Cache(sys.argv[1], token=sys.argv[2]).watch(since=0, keyPrefix="n"):
  print(json.dumps(update["value"]))
  if update["value"] == 40: break`,
      ...[first.url, TOKEN],
    );
    const seen: number[] = [];
    const ended = once(child, 'close');
    createInterface(child.stdout).on('line', (line) => seen.push(JSON.parse(line)));
    for (let n = 1; n <= 20; n += 1) await cache.set(`n${n % 3}`, n);
    await expect.poll(() => seen.length, { timeout: 60_000 }).toBeGreaterThan(5);
    await first.close();
    for (let n = 21; n <= 30; n += 1) await cache.set(`n${n % 3}`, n);
    await startServer(cache, { port, token: TOKEN });
    for (let n = 31; n <= 40; n += 1) await cache.set(`n${n % 3}`, n);
    await ended;
    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  test('finds the server of a directory', async () => {
    const dataDir = await tempDir('python');
    await using cache = await AgentContextCache.share(dataDir, { natsUrl: null });
    expect(await run('print(json.dumps(Cache(sys.argv[1]).set("plan", [1])))', dataDir)).toMatchObject({ version: 1 });
    expect(await cache.get('plan')).toEqual([1]);
  });
});
