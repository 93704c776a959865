import { expect, test } from 'vitest';
import { type CacheOptions, type JsonValue, memorySubjectKeys } from '../../src/index.ts';
import { all } from '../support/all.ts';
import { look, waitFor } from '../support/inspector.ts';

const plan = { namespace: 'trip', key: 'plan' };
const guest = { namespace: 'trip', key: 'guest' };
const broken = { namespace: 'trip', key: 'broken' };

/** Texts become objects, and `guest` is renamed to `name`. */
const migrations: CacheOptions['migrations'] = [
  {
    version: 2,
    namespaces: 'trip',
    when: (value) => typeof value === 'string',
    migrate: (value) => {
      if (value === 'none' || String(value).startsWith('sk-')) throw new Error(`no city: ${value}`);
      return { city: value, token: 's3cret' };
    },
  },
  {
    version: 3,
    namespaces: 'trip',
    when: (value) => typeof value === 'object' && value !== null && 'guest' in value,
    migrate: (value) => ({ name: (value as { readonly guest: JsonValue }).guest }),
  },
];

async function withOldValues() {
  const looked = await look({ allowWrite: true }, { migrations, subjects: { keys: memorySubjectKeys() } });
  const { cache } = looked;
  await cache.set('plan', 'Oslo', 'trip');
  await cache.set('guest', { guest: 'Ada' }, 'trip', { subjects: { '/guest': 'user-42' } });
  await cache.set('broken', 'none', 'trip');
  return looked;
}

test('shows of the present what readers get, and beside it what was written', async () => {
  const { cache, looking } = await withOldValues();
  const shown = { city: 'Oslo', token: expect.stringMatching(/^\[hidden \w{8}\]$/) };
  const entry = await looking.ask('GET /api/entry', plan);
  expect(entry).toMatchObject({ value: shown, hidden: true, written: { value: 'Oslo', hidden: false } });
  expect(await looking.ask('GET /api/entry', guest)).toMatchObject({
    ...{ value: { name: 'Ada' }, written: { value: { guest: 'Ada' } }, subjects: { '/guest': 'user-42' } },
  });
  await cache.set('new', { city: 'Rome' }, 'trip');
  const untouched = await looking.ask('GET /api/entry', { ...plan, key: 'new' });
  expect([untouched.value, 'written' in untouched, 'failure' in untouched]).toEqual([{ city: 'Rome' }, false, false]);
  const { items } = await looking.ask('GET /api/keys', { namespace: 'trip' });
  expect(items.map((each) => each.kind === 'item' && each.item.preview.text)).toEqual([
    ...['"none"', '{"name":"Ada"}', '{"city":"Rome"}', expect.stringContaining('{"city":"Oslo"')],
  ]);
  expect((await looking.ask('GET /api/search', { q: '"city":"Oslo' })).items).toMatchObject([{ key: 'plan' }]);
});

test('shows of the past what was written', async () => {
  const { cache, looking } = await withOldValues();
  const view = await looking.ask('GET /api/entry', { ...plan, at: cache.position });
  expect([view.value, 'written' in view]).toEqual(['Oslo', false]);
  expect((await looking.ask('GET /api/history', plan)).items).toMatchObject([{ value: 'Oslo' }]);
  expect(await looking.ask('GET /api/update', { position: 1 })).toMatchObject({ value: 'Oslo' });
  const { items } = await looking.ask('GET /api/diff', { a: 0, b: 1 });
  expect(items).toMatchObject([{ after: { value: 'Oslo' } }]);
});

test('shows what was written, with the error of readers, if a migration fails; an edit mends it', async () => {
  const { cache, looking } = await withOldValues();
  const entry = await looking.ask('GET /api/entry', broken);
  expect(entry).toMatchObject({ value: 'none', failure: expect.stringMatching(/version 2 failed.*no city/) });
  expect(entry).not.toHaveProperty('written');
  await looking.ask('POST /api/set', { ...broken, value: { city: 'Rome' }, ifVersion: entry.version });
  expect(cache.get('broken', 'trip')).toEqual({ city: 'Rome' });
});

test('hides the error of a migration with the value that it may quote', async () => {
  const { cache, looking } = await withOldValues();
  const { version } = await cache.set('broken', 'sk-0123456789abcdefghijklmnop', 'trip');
  const entry = await looking.ask('GET /api/entry', broken);
  expect(entry).toMatchObject({ hidden: true, failure: expect.stringContaining('is hidden too') });
  for (const [address, given] of [
    ['POST /api/set', { value: 1 }],
    ['POST /api/delete', {}],
  ] as const) {
    const refused = await looking.refused(address, { ...broken, ...given, ifVersion: 3 });
    expect(refused).toMatchObject({ status: 409, code: 'VERSION_CONFLICT', current: { version, hidden: true } });
    expect(JSON.stringify([entry, refused])).not.toContain('sk-0123');
  }
});

test('sends live updates as they were written, also if a migration fails for them', async () => {
  const { cache, looking } = await withOldValues();
  const live = await looking.live();
  live.send({ type: 'subscribe', id: 'u', feed: 'updates', filter: {} });
  await waitFor(() => expect(cache.health().watchers).toBe(1));
  for (const value of ['Rome', 'none']) {
    const { position } = await cache.set('plan', value, 'trip');
    const { rows } = await live.next('updates', (message) => message.position === position);
    expect(rows[0]?.preview?.text).toBe(JSON.stringify(value));
  }
});

test('takes an edit as one of what readers get, hidden parts included', async () => {
  const { cache, looking } = await withOldValues();
  const { value } = await looking.ask('GET /api/entry', plan);
  const edited = { ...(value as object), note: 'window' };
  await looking.ask('POST /api/set', { ...plan, value: edited, ifVersion: 1 });
  expect((await all(cache.readLog())).at(-1)?.value).toEqual({ city: 'Oslo', token: 's3cret', note: 'window' });
  expect(await looking.ask('GET /api/entry', plan)).not.toHaveProperty('written');
});

test('answers a conflict with what readers get', async () => {
  const { cache, looking } = await withOldValues();
  await cache.set('plan', 'Rome', 'trip');
  const refused = await looking.refused('POST /api/set', { ...plan, value: 1, ifVersion: 1 });
  expect(refused).toMatchObject({ status: 409, current: { version: 4, value: { city: 'Rome' } } });
});

test('refuses an edit after a migration has moved what a subject is about, until it names the subjects', async () => {
  const { cache, looking } = await withOldValues();
  const { position } = cache;
  const edit = { ...guest, value: { name: 'Ada L.' }, ifVersion: 2 };
  const again = { ...guest, value: { name: 'Ada L.' }, edited: 2 };
  const refusal = { code: 'INVALID_COMMAND', message: expect.stringMatching(/subject at "\/guest".*a migration/) };
  expect(await looking.refused('POST /api/set', edit)).toMatchObject(refusal);
  expect(cache.position).toBe(position);
  // The same for the edited version after another writer has replaced it.
  const { version } = await cache.set('guest', { name: 'x' }, 'trip');
  expect(await looking.refused('POST /api/set', { ...again, ifVersion: version })).toMatchObject(refusal);
  await looking.ask('POST /api/set', { ...again, ifVersion: version, subjects: { '/name': 'user-42' } });
  expect(await looking.ask('GET /api/entry', guest)).toMatchObject({
    ...{ value: { name: 'Ada L.' }, subjects: { '/name': 'user-42' } },
  });
  expect(JSON.stringify(await all(cache.readLog()))).not.toContain('Ada');
});

test('does not open a value twice that looks like an encrypted one', async () => {
  const { cache, looking } = await withOldValues();
  const sealed = (await all(cache.readLog())).at(1)?.value as JsonValue;
  await cache.set('copied', sealed, 'trip');
  const entry = await looking.ask('GET /api/entry', { ...plan, key: 'copied' });
  expect([entry.value, 'written' in entry]).toEqual([cache.get('copied', 'trip'), false]);
});
