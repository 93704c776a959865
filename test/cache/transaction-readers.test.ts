import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { AgentContextCache, Update } from '../../src/index.ts';
import { logOf, makeCache } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { everythingOf, exported, replayed } from '../support/replay.ts';
import { serveThroughProxy } from '../support/served.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually } from '../support/waiting.ts';

const TRANSFERS = 300;
const PARTS = 5;

type Writer = Pick<AgentContextCache, 'transaction' | 'set'>;
type Operations = Parameters<Writer['transaction']>[0];

/** Writes transactions and other things, several at a time. Ends with a write to namespace `end`. */
async function work(cache: Writer): Promise<void> {
  for (let n = 1; n <= TRANSFERS; n += 1) {
    const odd = { namespace: 'third', key: 'odd' };
    const operations: Operations = [
      { operation: 'set', namespace: 'left', key: 'n', value: 1_000 - n },
      { operation: 'set', namespace: 'right', key: 'n', value: n },
      { operation: 'set', namespace: 'left', key: `k${n % 9}`, value: n },
      { operation: 'set', namespace: 'third', key: 'n', value: n },
      n % 2 === 0 ? { ...odd, operation: 'delete' } : { ...odd, operation: 'set', value: n },
    ];
    const writes = [
      cache.set('noise', n, 'left'),
      cache.transaction(operations, { operationId: `transfer ${n}` }),
      cache.set('noise', n, 'right', { operationId: `noise ${n}` }),
    ];
    if (n % 7 !== 0) continue;
    await Promise.all(writes);
    await setImmediate();
  }
  await cache.set('last', true, 'end');
}

/** Asserts that all updates of each transaction are there, one after the other. */
function expectWhole(updates: readonly Pick<Update, 'operationId' | 'position'>[]): void {
  const runs: { id: string | undefined; first: number; count: number }[] = [];
  for (const { operationId, position } of updates) {
    if (!operationId?.startsWith('transfer')) continue;
    const last = runs.at(-1);
    if (last?.id === operationId && last?.first + last.count === position) last.count += 1;
    else runs.push({ id: operationId, first: position, count: 1 });
  }
  expect(runs.length).toBe(TRANSFERS);
  expect(new Set(runs.map(({ id }) => id)).size).toBe(TRANSFERS);
  expect(runs.filter(({ count }) => count !== PARTS)).toEqual([]);
}

/** Reads updates until the last one that {@link work} writes. */
async function untilEnd(watch: AsyncIterable<Update>): Promise<Update[]> {
  const updates: Update[] = [];
  for await (const update of watch) {
    updates.push(update);
    if (update.namespace === 'end') break;
  }
  return updates;
}

describe('the updates of a transaction, one after the other,', () => {
  it('are watched, subscribed to and read from the log, in this process and on a client whose connection breaks', async () => {
    await using served = await serveThroughProxy();
    const { cache, remote, proxy } = served;
    const heard: Update[] = [];
    const heardRemotely: Update[] = [];
    cache.subscribe((update) => heard.push(update));
    remote.subscribe((update) => heardRemotely.push(update));
    const local = untilEnd(cache.watch({ bufferSize: 100_000 }));
    const remotely = untilEnd(remote.watch({ since: 0, bufferSize: 100_000 }));
    const late = untilEnd(cache.watch({ since: 0, bufferSize: 100_000 }));
    await eventually(async () => {
      await cache.set('first', 1, 'start');
      expect(heardRemotely).not.toEqual([]);
    });
    let cuts = 0;
    const cutting = (async () => {
      for (const bytes of [5_000, 20_001, 40_003]) {
        await proxy.cutAfter('toClient', bytes);
        cuts += 1;
      }
    })();
    await work(cache);
    for (const updates of [await local, await late, await remotely]) expectWhole(updates);
    await eventually(() => expect(heardRemotely.at(-1)?.namespace).toBe('end'));
    expectWhole(heard);
    expectWhole(heardRemotely);
    await cutting;
    expect(cuts).toBe(3);
    const read: Update[] = [];
    for await (const update of remote.readLog()) read.push(update);
    expectWhole(read);
  });

  it('are in the log when a client has written them', async () => {
    await using served = await serveThroughProxy();
    await work(served.remote as unknown as Writer);
    expectWhole(await logOf(served.cache));
  });

  it('are kept by a replay of an exported log and of a directory, in memory and into another directory', async () => {
    const dataDir = await tempDir('transfers');
    const made = await open({ dataDir });
    await work(made.cache);
    const everything = everythingOf(made.cache);
    const text = await exported(made.cache);
    await made.cache.shutdown();
    const lines = text.split('\n').filter(Boolean);
    expectWhole(lines.map((line) => JSON.parse(line)));
    for (const source of [lines.map((line) => JSON.parse(line)), dataDir]) {
      for (const options of [{}, { dataDir: await tempDir('replayed') }]) {
        const { cache } = await replayed(source, options);
        expect(everythingOf(cache)).toEqual(everything);
        expectWhole(await logOf(cache));
        // It knows the operation: a repetition is answered and not done again.
        const again = [{ operation: 'set', namespace: 'left', key: 'n', value: 1 }] as const;
        const reused = cache.transaction(again, { operationId: `transfer ${TRANSFERS}` });
        await expect(reused).rejects.toMatchObject({ code: 'OPERATION_REUSED' });
        await cache.shutdown();
      }
    }
  });

  it('are reported to a watch that starts within them from there on', async () => {
    const { cache } = makeCache();
    const { position } = await cache.transaction([
      { operation: 'set', namespace: 'n', key: 'a', value: 1 },
      { operation: 'set', namespace: 'm', key: 'b', value: 2 },
    ]);
    const watch = cache.watch({ since: position - 1 });
    expect((await watch.next()).value).toMatchObject({ namespace: 'm', key: 'b', position });
    await watch.return?.();
  });
});
