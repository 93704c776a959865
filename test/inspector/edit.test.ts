import { expect, test } from 'vitest';
import { look } from '../support/inspector.ts';

const where = { namespace: 'auth', key: 'session' };

async function withSession(options = {}) {
  const looked = await look({ allowWrite: true, ...options });
  await looked.cache.set('session', { user: 'ann', token: 's3cret', tries: 1 }, 'auth', { expiresAt: 4e12 });
  return looked;
}

test('changes an entry over the version shown, and keeps its expiry', async () => {
  const { cache, looking } = await withSession();
  const { value } = await looking.ask('GET /api/entry', where);
  const edited = { ...(value as object), tries: 2 };
  expect(await looking.ask('POST /api/set', { ...where, value: edited, ifVersion: 1 })).toMatchObject({ version: 2 });
  const entry = cache.entry('session', 'auth');
  expect(entry?.value).toEqual({ user: 'ann', token: 's3cret', tries: 2 });
  expect(entry).toMatchObject({ agent: 'inspector', expiresAt: 4e12 });
  await looking.ask('POST /api/set', { ...where, value: 1, ifVersion: 2, expiresAt: null });
  expect(cache.entry('session', 'auth')).toMatchObject({ value: 1, expiresAt: null });
});

test('creates and removes an entry', async () => {
  const { cache, looking } = await withSession();
  await looking.ask('POST /api/set', { namespace: 'auth', key: 'new', value: null, ifVersion: 0 });
  expect(cache.entry('new', 'auth')).toMatchObject({ value: null, version: 2 });
  expect(await looking.ask('POST /api/delete', { namespace: 'auth', key: 'new', ifVersion: 2 })).toMatchObject({
    changed: true,
  });
  expect(cache.has('new', 'auth')).toBe(false);
});

test('answers a conflict with the current entry, redacted', async () => {
  const { cache, looking } = await withSession();
  const { value } = await looking.ask('GET /api/entry', where);
  await cache.set('session', { user: 'bob', token: 'an0ther' }, 'auth');
  for (const [address, given] of [
    ['POST /api/set', { ...where, value, ifVersion: 1 }],
    ['POST /api/set', { ...where, value: 1, ifVersion: 0 }],
    ['POST /api/delete', { ...where, ifVersion: 1 }],
  ] as const) {
    const refused = await looking.refused(address, given);
    expect(refused).toMatchObject({ status: 409, code: 'VERSION_CONFLICT', current: { version: 2, hidden: true } });
    expect(refused.current?.value).toMatchObject({ user: 'bob', token: expect.stringMatching(/^\[hidden \w{8}\]$/) });
  }
  expect(await looking.refused('POST /api/delete', { ...where, key: 'none', ifVersion: 3 })).toMatchObject({
    ...{ status: 409, current: null },
  });
  expect(cache.position).toBe(2);
});

test('accepts hidden parts at other hidden paths, and nowhere else', async () => {
  const { cache, looking } = await look({ allowWrite: true });
  await cache.set(
    'users',
    [
      { name: 'ann', token: 'a' },
      { name: 'bob', token: 'b' },
    ],
    'n',
  );
  const entry = { namespace: 'n', key: 'users' };
  const given = { ...entry, ifVersion: 1 };
  const { value } = await looking.ask('GET /api/entry', entry);
  const [ann, bob] = value as { name: string; token: string }[];
  const { token: mark } = bob ?? { token: '' };
  for (const wrong of [
    [ann, { ...bob, name: mark }],
    { note: mark },
    [{ token: '[hidden 00000000]' }],
    [{ token: `Bearer ${mark}` }],
  ]) {
    expect(await looking.refused('POST /api/set', { ...given, value: wrong })).toMatchObject({ code: 'INVALID_VALUE' });
  }
  expect(cache.position).toBe(1);
  // Ann leaves; Bob keeps his token although his index has changed.
  await looking.ask('POST /api/set', { ...given, value: [bob] });
  expect(cache.get('users', 'n')).toEqual([{ name: 'bob', token: 'b' }]);
});

test('refuses bad input with the reason, before anything changes', async () => {
  const { cache, looking } = await withSession();
  for (const wrong of [
    {},
    { ...where, ifVersion: 1 },
    { ...where, value: 1 },
    { ...where, value: 1, ifVersion: -1 },
    { ...where, value: 1, ifVersion: 1, expiresAt: 'soon' },
    { ...where, key: 7, value: 1, ifVersion: 1 },
    { ...where, namespace: 7, value: 1, ifVersion: 1 },
  ]) {
    expect(await looking.refused('POST /api/set', wrong)).toMatchObject({ status: 400 });
  }
  expect((await looking.fetch('/api/set', { method: 'POST', body: '[]' })).status).toBe(400);
  expect((await looking.fetch('/api/set', { method: 'POST', body: '{' })).status).toBe(400);
  expect(cache.position).toBe(1);
});
