import { beforeAll, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import type { WatchedUpdate } from '../../src/index.ts';
import { serve, waitFor } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';

beforeAll(() => buildDist());

test('a server that is killed loses nothing acknowledged, and its clients go on with the next one, repeating their writes if they may', async () => {
  const dataDir = await tempDir('killed');
  let server = await serve(dataDir);
  await using remote = await connect(dataDir, { onError: () => {} });
  await using repeating = await connect(dataDir, { onError: () => {}, repeatWrites: true });
  const watched: WatchedUpdate[] = [];
  const watch = (async () => {
    for await (const update of remote.watch({ since: 0, bufferSize: 1_000_000 })) watched.push(update);
  })();
  const acknowledged = new Map<number, string>();
  let unknown = 0;
  let isStopped = false;
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let i = 0; !isStopped; i += 1) {
      const value = `${writer} ${i}`;
      try {
        acknowledged.set((await remote.set(`key ${i % 100}`, value, 'space')).position, value);
      } catch (error) {
        expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
        unknown += 1;
      }
    }
  });
  const done: string[] = [];
  const repeaters = Array.from({ length: 8 }, async (_, writer) => {
    for (let i = 0; !isStopped; i += 1) {
      const value = `repeated ${writer} ${i}`;
      acknowledged.set((await repeating.set(`key ${i % 100}`, value, `space ${writer}`)).position, value);
      done.push(value);
    }
  });
  for (let round = 0; round < 2; round += 1) {
    const before = acknowledged.size;
    await waitFor(() => expect(acknowledged.size).toBeGreaterThan(before + 100));
    await server.end('SIGKILL');
    server = await serve(dataDir);
  }
  const before = acknowledged.size;
  await waitFor(() => expect(acknowledged.size).toBeGreaterThan(before + 100));
  isStopped = true;
  await Promise.all([...writers, ...repeaters]);
  const { log } = await remote.health();
  await waitFor(() => expect(watched.at(-1)?.position).toBe(log.head));
  expect(watched.map(({ position }) => position)).toEqual(Array.from({ length: log.head }, (_, index) => index + 1));
  for (const [position, value] of acknowledged) expect(watched[position - 1]).toMatchObject({ position, value });
  expect(unknown).toBeGreaterThan(0);
  expect(log.head).toBeLessThanOrEqual(acknowledged.size + unknown);
  const repeated = watched.map(({ value }) => String(value)).filter((value) => value.startsWith('repeated'));
  expect(repeated.sort()).toEqual(done.sort());
  await repeating.shutdown();
  await remote.shutdown();
  await watch;
  await server.end();
});
