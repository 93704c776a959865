import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildDist, projectRoot } from '../support/dist.ts';
import { startNats, startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

beforeAll(buildDist);

/** Runs a program with the built package in its own process, which must exit by itself. */
async function run(body: string): Promise<string> {
  const file = join(await tempDir(), 'program.mjs');
  const index = JSON.stringify(join(projectRoot, 'dist/src/index.js'));
  await writeFile(file, `import { AgentContextCache } from ${index};\n${body}`);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 120_000 });
  return stdout;
}

/** Resources that keep the process alive, except the pipe of standard output and the reads of the program's modules. */
const HELD = `process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap' && name !== 'FSReqCallback').join()`;

describe('a process with a cache', () => {
  it('exits by itself although the cache in memory is open and an entry has yet to expire', async () => {
    expect(
      await run(
        `const cache = new AgentContextCache();\nawait cache.set('a', 1, 'n', { ttl: '1h' });\nconsole.log('done');`,
      ),
    ).toBe('done\n');
  });

  it('is not kept alive by an idle cache in memory', async () => {
    const program = `const cache = new AgentContextCache();
      for (let i = 0; i < 1000; i += 1) cache.set('k' + i, i);
      await new Promise((resolve) => setImmediate(resolve));
      console.log(${HELD});`;
    expect(await run(program)).toBe('\n');
  });

  it('is not kept alive after the shutdown of a watched cache in memory', async () => {
    const program = `const cache = new AgentContextCache({ backup: {} });
      await cache.set('a', 1, 'default', { ttl: '1h' });
      void cache.watch();
      const stop = cache.subscribe(() => {});
      await cache.synced();
      stop();
      await cache.shutdown();
      await new Promise((resolve) => setImmediate(resolve));
      console.log(${HELD});`;
    expect(await run(program)).toBe('\n');
  });

  it('is not kept alive after the shutdown of a cache with every follower', async () => {
    await using redis = await startRedis();
    await using nats = await startNats();
    const program = `const cache = await AgentContextCache.open({
        dataDir: ${JSON.stringify(await tempDir())}, redisUrl: '${redis.url}', natsUrl: '${nats.url}', topics: ['t'],
        backup: { enabled: true, mode: 'periodic', interval: 60 },
      });
      const reading = (async () => { for await (const update of cache.watch()) if (update.key === 'never') break; })();
      for (let i = 0; i < 1000; i += 1) cache.set('k' + i, i, 'n', { ttl: '1h' });
      await cache.synced();
      const report = await cache.shutdown();
      await reading;
      // The request that ends here counts as active until the end of the turn.
      await new Promise((resolve) => setImmediate(resolve));
      console.log(JSON.stringify(report), ${HELD});`;
    expect(await run(program)).toBe('{"undelivered":[],"unfinishedCommands":false} \n');
  });
});
