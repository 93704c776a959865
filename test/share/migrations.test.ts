import { expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import type { Migration } from '../../src/types.ts';
import { all } from '../support/all.ts';
import { tempDir } from '../support/temp-dir.ts';

const isText = (value: unknown) => typeof value === 'string';
const migrated = (name: string): readonly Migration[] => [
  { version: 2, namespaces: 'trip/**', when: isText, migrate: (value) => ({ [name]: value }) },
];

test('readers of a shared directory get what the migrations of its holder make, and what is stored stays the same', async () => {
  const dataDir = await tempDir('share');
  const errors: unknown[] = [];
  // That the holder is closing is no fault.
  const onError = (error: Error & { code?: string }) => void (error.code === 'UNREACHABLE' || errors.push(error));
  const share = (migrations?: readonly Migration[]) =>
    AgentContextCache.share(dataDir, {
      ...{ natsUrl: null, backup: { enabled: false }, migrations, onError },
    });
  const sharers = [await share(migrated('city')), await share(migrated('place'))];
  const [first] = sharers;
  await first?.set('plan', 'Oslo', 'trip/7', { agent: 'ann' });
  const stored = { log: first === undefined ? [] : await all(await first.readLog()), digest: await first?.digest() };
  for (const expected of [{ city: 'Oslo' }, { place: 'Oslo' }]) {
    for (const sharer of sharers) {
      expect(await sharer.get('plan', 'trip/7')).toEqual(expected);
      expect(await (await sharer.at(1)).get('plan', 'trip/7')).toBe('Oslo');
      expect({ log: await all(await sharer.readLog()), digest: await sharer.digest() }).toEqual(stored);
    }
    const [holder] = sharers;
    expect(await holder?.verify()).toMatchObject({ ok: true });
    expect(await holder?.health()).toMatchObject({ status: 'ok' });
    // The next one takes the directory over.
    await sharers.shift()?.shutdown();
  }
  expect(errors).toEqual([]);
});
