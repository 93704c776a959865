import { expect, it } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { DataDirectory } from '../../../src/storage/disk/data-directory.ts';
import { NamespaceRegistry } from '../../../src/storage/namespace-registry.ts';
import { aSet } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

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
