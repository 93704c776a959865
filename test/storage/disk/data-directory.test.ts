import { expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { DataDirectory } from '../../../src/storage/disk/data-directory.ts';
import { NamespaceRegistry } from '../../../src/storage/namespace-registry.ts';
import { aSet } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** What is awaited before a turn ends. */
let turn: () => Promise<void> = async () => {};

vi.mock(import('node:timers/promises'), async (load) => {
  const original = await load();
  return {
    ...original,
    setImmediate: (async () => {
      await turn();
      await original.setImmediate();
    }) as typeof original.setImmediate,
  };
});

it('leaves the index as it is until the rest of the log is in memory', async () => {
  const options = { dataDir: await tempDir('directory'), clock: systemClock };
  const written = await DataDirectory.open(options);
  await written.openIndex();
  written.log.append([aSet('a', 1, 'k'), aSet('b', 1, 'k')]);
  await written.log.flush();
  await written.index.fold(2);
  written.log.append([aSet('a', 2, 'k'), aSet('b', 2, 'k')]);
  await written.close();

  const directory = await DataDirectory.open(options);
  const { log } = directory;
  const reader = log.reader();
  // As at the end of a file: fewer updates than were asked for.
  const read = reader.readBare.bind(reader);
  Object.assign(log, { reader: () => Object.assign(reader, { readBare: (from: number) => read(from, from) }) });
  const { source, table } = await directory.openIndex();
  const registry = new NamespaceRegistry(source);
  const checkpoints: number[] = [];
  // Long enough for an index that does not wait.
  turn = async () => {
    for (let i = 0; i < 200 && table.checkpoint < 4; i += 1) await new Promise((resolve) => setTimeout(resolve, 2));
    checkpoints.push(table.checkpoint);
  };
  try {
    await directory.catchUp(registry);
  } finally {
    turn = async () => {};
  }
  expect(checkpoints).toEqual([2, 2]);
  for (const name of ['a', 'b']) expect(registry.find(name)?.state.version).toBe(2);
  await directory.index.fold(4);
  expect(table.checkpoint).toBe(4);
  await directory.close();
});

for (const keepsValues of [true, false]) {
  it(`${keepsValues ? 'takes' : 'does not take'} values of base and log into memory while there is no index`, async () => {
    const directory = await DataDirectory.open({
      dataDir: await tempDir('directory'),
      clock: systemClock,
      keepsValues,
      openStorage: () => Promise.reject(new Error('injected: no index')),
    });
    const entry = {
      value: 'old',
      version: 1,
      createdAt: 1,
      updatedAt: 1,
      expiresAt: null,
      agent: null,
      bytes: 5,
      meta: undefined,
    };
    await directory.adopt([{ name: 'n', version: 1, position: 1, entries: [['base', entry]] }], 1);
    const { source } = await directory.openIndex();
    const registry = new NamespaceRegistry(source);
    directory.log.append([aSet('n', 2, 'log')]);
    await directory.log.flush();
    await directory.catchUp(registry);
    const entries = registry.find('n')?.state.entries;
    const values = ['base', 'log'].map((key) => [entries?.get(key)?.version, entries?.get(key)?.value]);
    expect(values).toEqual(
      keepsValues
        ? [
            [1, 'old'],
            [2, { version: 2 }],
          ]
        : [
            [1, undefined],
            [2, undefined],
          ],
    );
    await directory.close();
  });
}
