import { expect, test } from 'vitest';
import type { SearchHit } from '../../src/inspector/data-protocol.ts';
import { look, waitFor } from '../support/inspector.ts';

const SECRET = 'sk-live-0123456789abcdef0123456789';

test('finds namespaces, keys and values in any case, page by page, each once', async () => {
  const { cache, looking } = await look();
  await cache.set('offer:10', { flight: 'TP 258' }, 'trip:Lisbon');
  await cache.set('offer:2', { flight: 'LH 1' }, 'trip:Lisbon');
  await cache.set('note', { text: 'Fly to LISBON, "now"' }, 'trip:porto');
  await cache.set('lisbon/hotel', 1, 'trip:porto');
  const found: Pick<SearchHit, 'namespace' | 'key' | 'found'>[] = [];
  for (let after: string | null | undefined; after !== null; ) {
    const page = await looking.ask('GET /api/search', { q: 'lisbon', limit: 1, ...(after && { after }) });
    found.push(...page.items.map(({ namespace, key, found }) => ({ namespace, key, found })));
    after = page.next;
  }
  expect(found).toEqual([
    { namespace: 'trip:Lisbon', key: null, found: 'namespace' },
    { namespace: 'trip:porto', key: 'lisbon/hotel', found: 'key' },
    { namespace: 'trip:porto', key: 'note', found: 'value' },
  ]);
  const [quoted] = (await looking.ask('GET /api/search', { q: '"now"' })).items;
  expect(quoted).toMatchObject({ key: 'note', preview: { text: expect.stringContaining('LISBON') } });
  const keys = (await looking.ask('GET /api/search', { q: 'offer' })).items.map(({ key }) => key);
  expect(keys).toEqual(['offer:2', 'offer:10']);
});

test('searches a view of the past', async () => {
  const { cache, looking } = await look();
  await cache.set('plan', 'before');
  await cache.set('plan', 'after');
  const hits = async (q: string, at?: number) =>
    (await looking.ask('GET /api/search', { q, ...(at && { at }) })).items.length;
  expect([await hits('before', 1), await hits('before'), await hits('after', 1), await hits('after')]).toEqual([
    1, 0, 0, 1,
  ]);
});

test('does not find hidden parts, in the data or in the updates', async () => {
  const { cache, looking } = await look();
  await cache.set('login', { user: 'ann', password: SECRET });
  for (const [q, hits] of [
    ['ann', 1],
    [SECRET.slice(8, 16), 0],
  ] as const) {
    expect((await looking.ask('GET /api/search', { q })).items).toHaveLength(hits);
    expect((await looking.ask('GET /api/updates', { value: q })).items).toHaveLength(hits);
  }
});

test('filters updates by a part of the value, in the log and as they come', async () => {
  const { cache, looking } = await look();
  await cache.set('a', { city: 'Lisbon' });
  await cache.set('b', { city: 'Porto' });
  await cache.delete('a');
  await cache.set('c', { text: 'to "lisbon"' });
  const keys = async (value: string) => (await looking.ask('GET /api/updates', { value })).items.map(({ key }) => key);
  expect(await keys('lisbon')).toEqual(['c', 'a']);
  expect(await keys('"lisbon"')).toEqual(['c', 'a']);
  const live = await looking.live();
  live.send({ type: 'subscribe', id: 'values', feed: 'updates', filter: { value: 'LISBON' } });
  // Waits until the subscription has reached the server.
  await waitFor(async () => {
    await cache.setMany({ heard: 'Lisbon', unheard: 'Porto' });
    expect(live.messages).not.toEqual([]);
  });
  const { rows } = await live.next('updates');
  expect([...new Set(rows.map(({ key }) => key))]).toEqual(['heard']);
});

test('filters a difference by patterns of the namespace and of the last writer', async () => {
  const { cache, looking } = await look();
  await cache.set('a', 1, 'trip:1', { agent: 'planner' });
  await cache.set('a', 1, 'trip:2', { agent: 'critic' });
  await cache.set('a', 1, 'other', { agent: 'planner' });
  const diff = async (filter: object) => {
    const { items, added } = await looking.ask('GET /api/diff', { a: 0, b: 3, ...filter });
    return [added, ...items.map(({ namespace }) => namespace)];
  };
  expect(await diff({ namespace: 'trip:*' })).toEqual([2, 'trip:1', 'trip:2']);
  expect(await diff({ agent: 'planner' })).toEqual([2, 'other', 'trip:1']);
  expect(await diff({ namespace: 'trip:1', agent: 'critic' })).toEqual([0]);
});

test.each(['here', '{}', '["trip"]', '[1,null]', '["trip",2]'])('refuses the cursor %s by name', async (after) => {
  const { looking } = await look();
  expect(await looking.refused('GET /api/search', { q: 'a', after })).toMatchObject({
    ...{ status: 400, code: 'INVALID_OPTION', message: expect.stringContaining('after') },
  });
});
