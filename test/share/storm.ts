import { expect } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { waitFor } from '../support/cli.ts';
import { Sharing } from '../support/sharing.ts';

/** Settings of {@link storm}. */
export interface StormSettings {
  readonly dataDir: string;
  readonly processes: number;
  readonly durationMs: number;
  readonly seed: number;
}

/** What a {@link storm} has seen. */
export interface StormReport {
  readonly killed: number;
  readonly paused: number;
  readonly holdersLost: number;
  readonly acknowledged: number;
  readonly unknown: number;
}

/** A small generator of numbers from 0 to 1, so that a seed repeats the order of the events. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * Shares a directory between processes that write all the time, and kills, pauses or shuts down one at random, mostly the
 * holder. Then checks that nothing acknowledged is lost, nothing was done twice, and each watch has seen each update once.
 */
export async function storm({ dataDir, processes, durationMs, seed }: StormSettings): Promise<StormReport> {
  const next = random(seed);
  await using sharing = new Sharing(dataDir);
  const { reported } = sharing;
  await Promise.all(Array.from({ length: processes }, () => sharing.start().ready));
  const seen = { killed: 0, paused: 0, holdersLost: 0 };
  const until = performance.now() + durationMs;
  while (performance.now() < until) {
    await sleep(300 + next() * 1_200);
    const holder = await sharing.holder();
    const { sharers } = sharing;
    const victim = next() < 0.6 && holder !== undefined ? holder : sharers[Math.floor(next() * sharers.length)];
    if (victim === undefined) continue;
    const how = next();
    if (how < 0.4) {
      seen.killed += 1;
      void victim.kill();
    } else if (how < 0.8) {
      seen.paused += 1;
      victim.child.kill('SIGSTOP');
      // One that holds the directory by then is ended by the others before it goes on; any other one goes on.
      setTimeout(() => victim.child.kill('SIGCONT'), 200 + next() * 1_800);
    } else {
      void victim.ask('shutdown');
    }
    if (victim === holder) seen.holdersLost += 1;
    while (sharing.sharers.length < processes) sharing.start();
  }
  await sleep(2_100);
  await Promise.all(sharing.sharers.map(({ ready }) => ready));
  // One of the last that were told to shut down may still do so.
  await sleep(500);
  const survivors = sharing.sharers.filter(({ isLeaving }) => !isLeaving);
  await Promise.all(survivors.map((sharer) => sharer.ask('rest')));
  const head = Number(await survivors[0]?.ask('head'));
  expect(survivors.length).toBeGreaterThan(0);
  for (const survivor of survivors) expect(await survivor.ask('watched', head)).toBe(head);
  await Promise.all(survivors.map((sharer) => sharer.ask('shutdown')));
  await waitFor(() => expect(sharing.sharers.length).toBe(0));
  expect(reported.failures).toEqual([]);
  expect([...reported.unknown].filter((key) => Number(/^p(\d+)/.exec(key)?.[1]) % 2 === 0)).toEqual([]);
  await check(sharing);
  return { ...seen, acknowledged: reported.acknowledged.size, unknown: reported.unknown.size };
}

/** Reads the log that the processes have left. */
async function check({ dataDir, reported }: Sharing): Promise<void> {
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
  const written = new Map<string, number>();
  let counted = 0;
  for await (const { namespace, key, position } of cache.readLog()) {
    if (namespace === 'counter') counted += 1;
    if (namespace !== 'writes' || key === null) continue;
    expect(written.has(key), `${key} was written twice`).toBe(false);
    written.set(key, position);
  }
  for (const [key, position] of reported.acknowledged) expect([key, written.get(key)]).toEqual([key, position]);
  // Some reports of killed processes are lost: what they wrote and did not report is as good as unknown.
  expect(cache.get('count', 'counter')).toBe(counted);
  expect(counted).toBeGreaterThanOrEqual(reported.counted);
  expect((await cache.verify()).ok).toBe(true);
}
