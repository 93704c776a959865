import { expect, test, vi } from 'vitest';
import { SimulatedClock } from 'xstate';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, InMemoryContextCache, type JsonValue } from '../../src/index.ts';
import type { UpdatePage } from '../../src/inspector/data-protocol.ts';
import { SNAPSHOTS_MS } from '../../src/inspector/reads/health.ts';
import { look, lookAt, waitFor } from '../support/inspector.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Writes twelve updates in three namespaces. */
async function filled(cache: AgentContextCache): Promise<void> {
  for (let i = 0; i < 4; i += 1)
    await cache.set('plan', { step: i }, 'trip:1', { agent: i % 2 ? 'booker' : 'planner' });
  await cache.set('plan:a', 1, 'trip:2', { ttl: '1h' });
  await cache.set('plan:b', 2, 'trip:2');
  await cache.set('notes', 'x'.repeat(500), 'trip:2');
  await cache.delete('plan:b', 'trip:2');
  await cache.set('a', 1, 'other');
  await cache.set('b', 2, 'other');
  await cache.clearNamespace('other');
  await cache.set('c', 3, 'other');
}

async function filledAndOpened(options = {}) {
  const looked = await look(options);
  await filled(looked.cache);
  return looked;
}

test('meta describes the cache and the permissions', async () => {
  const { cache, looking } = await look({ allowWrite: true, redact: false });
  const meta = await looking.ask('GET /api/meta');
  expect(meta).toMatchObject({ logId: cache.health().log.id, durable: false, dataDir: null, branchOf: null });
  expect(meta).toMatchObject({ allowWrite: true, redacts: false, pid: process.pid });
  expect(meta.foreignUrl).toBe(`ws://127.0.0.1:${looking.inspector.port}/api/foreign?token=${looking.inspector.token}`);
});

test.each([
  [
    '/api/set',
    { namespace: 'a', key: 'k', value: 1, ifVersion: 0, expiresat: 5 },
    'expiresat',
    'Did you mean expiresAt?',
  ],
  ['/api/delete', { namespace: 'a', key: 'k', ifVersion: 0, value: 1 }, 'value', 'It takes namespace, key, ifVersion.'],
  ['/api/backup', { now: true }, 'now', 'It takes none.'],
])('refuses a field that %s does not take', async (path, body, field, remedy) => {
  const { looking } = await look({ allowWrite: true });
  const response = await looking.fetch(path, { method: 'POST', body: JSON.stringify(body) });
  const message = `${path} has no field "${field}". ${remedy}`;
  expect([response.status, await response.json()]).toEqual([400, { error: { code: 'INVALID_OPTION', message } }]);
});

test('refuses a query parameter that the address does not take, with the nearest name', async () => {
  const { looking } = await look();
  for (const [path, message] of [
    ['/api/updates?namesapce=x', '/api/updates has no parameter "namesapce". Did you mean namespace?'],
    ['/api/diff?a=0&b=0&agnet=x', '/api/diff has no parameter "agnet". Did you mean agent?'],
    ['/api/health?x', '/api/health has no parameter "x". It takes none.'],
  ] as const) {
    const response = await looking.fetch(path);
    expect([response.status, await response.json()]).toEqual([400, { error: { code: 'INVALID_OPTION', message } }]);
  }
});

test('overview counts namespaces, keys, bytes and updates', async () => {
  const { looking } = await filledAndOpened();
  const overview = await looking.ask('GET /api/overview');
  expect(overview).toMatchObject({
    status: 'ok',
    keys: 4,
    restarts: 0,
    watchers: 0,
    topics: [],
    now: null,
    samples: [],
  });
  expect(overview.namespaces).toEqual({ total: 4, resident: 4, failed: 0 });
  expect(overview.log).toMatchObject({ head: 12, committed: 12, first: 1, durable: false });
  expect(overview.bytes).toBeGreaterThan(500);
});

test('machines lists the statecharts of all actors with resolvable transitions', async () => {
  const { looking } = await look();
  const { machines } = await looking.ask('GET /api/machines');
  expect(machines.map(({ id }) => id)).toEqual(['supervisor', 'namespace', 'follower']);
  for (const { states, transitions } of machines) {
    const ids = new Set(states.map(({ id }) => id));
    expect(ids.size).toBe(states.length);
    for (const { source, target } of transitions) {
      expect(ids).toContain(source);
      if (target !== null) expect(ids).toContain(target);
    }
    expect(states.filter(({ id, initial, parent }) => initial && id !== '' && parent === null)).toHaveLength(1);
  }
  const follower = machines[2];
  expect(follower?.states.find(({ id }) => id === 'resyncing')).toMatchObject({ invokes: ['resync'], type: 'atomic' });
  expect(follower?.transitions).toContainEqual(
    expect.objectContaining({ source: 'connecting', event: 'connect done', guard: 'mustResync', target: 'resyncing' }),
  );
});

test('actors can be searched, filtered, sorted and paged', async () => {
  const { looking } = await filledAndOpened();
  const all = await looking.ask('GET /api/actors');
  expect(all.supervisor).toMatchObject({ id: 'supervisor', state: 'running', machine: 'supervisor' });
  expect(all.namespaces.items.map(({ id }) => id)).toEqual([
    ...['namespace:default', 'namespace:other', 'namespace:trip:1', 'namespace:trip:2'],
  ]);
  expect(all.namespaces).toMatchObject({ total: 4, next: null, byStatus: { resident: 4, failed: 0 } });
  const first = await looking.ask('GET /api/actors', { sort: 'keys', limit: 1 });
  expect(first.namespaces.items[0]).toMatchObject({ id: 'namespace:trip:2', state: 'ready', namespace: { keys: 2 } });
  const rest = await looking.ask('GET /api/actors', { sort: 'keys', after: first.namespaces.next, limit: 500 });
  expect(rest.namespaces.items).toHaveLength(3);
  const trips = await looking.ask('GET /api/actors', { q: 'TRIP', status: 'resident' });
  expect(trips.namespaces).toMatchObject({ total: 2 });
  expect(await looking.ask('GET /api/actor', { id: 'namespace:trip:1' })).toMatchObject({ namespace: { version: 4 } });
  expect(await looking.refused('GET /api/actor', { id: 'namespace:none' })).toMatchObject({ status: 404 });
  expect(await looking.refused('GET /api/actors', { sort: 'colour' })).toMatchObject({ status: 400 });
});

test('updates come newest first, by page, by filter and around a position', async () => {
  const { looking } = await filledAndOpened();
  const pages: number[][] = [];
  for (let before: string | null = '100'; before !== null; ) {
    const page: UpdatePage = await looking.ask('GET /api/updates', { before, limit: 5 });
    pages.push(page.items.map(({ position }) => position));
    before = page.next;
  }
  expect(pages).toEqual([
    [12, 11, 10, 9, 8],
    [7, 6, 5, 4, 3],
    [2, 1],
  ]);
  const positions = async (given: Record<string, JsonValue>) =>
    (await looking.ask('GET /api/updates', given)).items.map(({ position }) => position);
  expect(await positions({ agent: 'book*' })).toEqual([4, 2]);
  expect(await positions({ operation: ['delete', 'clear_namespace'] })).toEqual([11, 8]);
  expect(await positions({ namespace: 'trip:*', key: '*:b' })).toEqual([8, 6]);
  expect(await positions({ around: 6, limit: 4 })).toEqual([7, 6, 5, 4]);
  expect(await looking.refused('GET /api/updates', { operation: 'jump' })).toMatchObject({ code: 'INVALID_OPTION' });
  expect(await looking.refused('GET /api/updates', { limit: 501 })).toMatchObject({ status: 400 });
});

test('a row has the beginning of a value; an update has all of it and the version before', async () => {
  const { looking } = await filledAndOpened();
  const { items } = await looking.ask('GET /api/updates', { key: 'notes' });
  expect(items[0]?.preview).toEqual({ text: `"${'x'.repeat(199)}`, cut: true });
  expect(await looking.ask('GET /api/update', { position: 7 })).toMatchObject({ value: 'x'.repeat(500), before: null });
  const second = await looking.ask('GET /api/update', { position: 2 });
  expect(second).toMatchObject({ value: { step: 1 }, before: { value: { step: 0 }, version: 1, position: 1 } });
  const cleared = await looking.ask('GET /api/update', { position: 11 });
  expect(cleared).toMatchObject({ operation: 'clear_namespace', key: null, before: null });
  expect('value' in cleared).toBe(false);
  expect(await looking.refused('GET /api/update', { position: 13 })).toMatchObject({ status: 404 });
});

test('names form a tree, in the present and in a view', async () => {
  const { looking } = await filledAndOpened();
  const top = await looking.ask('GET /api/namespaces');
  expect(top.items).toEqual([
    { kind: 'item', label: 'default', item: { name: 'default', version: 0, position: 0, keys: 0, bytes: 0 } },
    {
      kind: 'item',
      label: 'other',
      item: expect.objectContaining({ name: 'other', version: 4, keys: 1, position: 12 }),
    },
    { kind: 'group', label: 'trip:', prefix: 'trip:', count: 2 },
  ]);
  expect(top).toMatchObject({ total: 4, position: 12, next: null });
  const then = await looking.ask('GET /api/namespaces', { prefix: 'trip:', at: 4 });
  expect(then).toMatchObject({ total: 1, position: 4, items: [{ label: '1', item: { name: 'trip:1', keys: null } }] });
  const found = await looking.ask('GET /api/namespaces', { q: 'P:2' });
  expect(found.items).toMatchObject([{ kind: 'item', label: 'trip:2' }]);
  const keys = await looking.ask('GET /api/keys', { namespace: 'trip:2', at: 6 });
  expect(keys.items).toEqual([{ kind: 'group', label: 'plan:', prefix: 'plan:', count: 2 }]);
  const now = await looking.ask('GET /api/keys', { namespace: 'trip:2', separator: '' });
  expect(now.items).toMatchObject([{ label: 'notes' }, { label: 'plan:a', item: { key: 'plan:a', version: 1 } }]);
  expect((await looking.ask('GET /api/keys', { namespace: 'none' })).items).toEqual([]);
});

test('a list of names is rebuilt if that is quick, and reports when it is older than the last update', async () => {
  const clock = new SimulatedClock();
  let lookTakesMs = 0;
  const ticking = {
    setTimeout: clock.setTimeout.bind(clock),
    clearTimeout: clock.clearTimeout.bind(clock),
    now: () => {
      clock.increment(lookTakesMs);
      return clock.now();
    },
  };
  const { cache, looking } = await look({}, { clock: ticking as never });
  const names = () => looking.ask('GET /api/namespaces', { prefix: 'n:' });
  const keys = () => looking.ask('GET /api/keys', { namespace: 'n:1' });
  for (let n = 1; n < 4; n += 1) {
    await cache.set(`k${n}`, n, 'n:1');
    await cache.set('k', n, `n:${n + 1}`);
    expect(await names()).toMatchObject({ total: n + 1, position: 2 * n, current: true });
    expect(await keys()).toMatchObject({ total: n, position: 2 * n, current: true });
  }
  lookTakesMs = 5;
  await cache.set('k4', 4, 'n:1');
  expect(await names()).toMatchObject({ total: 4, position: 7, current: true });
  expect(await keys()).toMatchObject({ total: 4, position: 7, current: true });
  lookTakesMs = 0;
  await cache.set('k5', 5, 'n:1');
  await cache.set('k', 5, 'n:5');
  expect(await names()).toMatchObject({ total: 4, position: 7, current: false });
  expect(await keys()).toMatchObject({ total: 4, position: 7, current: false });
  clock.increment(10_000);
  expect(await names()).toMatchObject({ total: 5, position: 9, current: true });
  expect(await keys()).toMatchObject({ total: 5, position: 9, current: true });
});

test('answers what an entry was based on and what was based on it, as a graph without meta', async () => {
  const { cache, looking } = await look();
  const agent = (name: string) => cache.as({ agent: name, meta: { secret: 's3cret' } }, { basis: true });
  const [scout, planner, booker] = [agent('scout'), agent('planner'), agent('booker')];
  await scout.set('station', 'closed', 'trip');
  planner.get('station', 'trip');
  await planner.set('plan', 'bus', 'trip');
  booker.get('plan', 'trip');
  await booker.set('ticket', 'bus 9:04', 'trip');
  await cache.set('late', 1, 'trip', { agent: 'late', basis: [{ position: 3 }] });
  const graph = await looking.ask('GET /api/trace', { namespace: 'trip', key: 'plan' });
  expect(
    graph.writes.map(({ column, position, key, agent, certain }) => [column, position, key, agent, certain]),
  ).toEqual([
    [-1, 1, 'station', 'scout', true],
    [0, 2, 'plan', 'planner', true],
    [1, 3, 'ticket', 'booker', true],
    [1, 4, 'late', 'late', false],
  ]);
  expect(graph.links).toContainEqual({ cause: 1, effect: 2, certain: true });
  expect(graph).toMatchObject({ open: 0, more: false });
  expect(JSON.stringify(graph)).not.toContain('s3cret');
  await cache.retract(1, { cascade: 'mark' });
  const stale = await looking.ask('GET /api/trace', { namespace: 'trip', key: 'ticket' });
  expect(stale.writes.filter(({ staleSince }) => staleSince !== null).map(({ key }) => key)).toContain('ticket');
  const none = await looking.ask('GET /api/trace', { namespace: 'trip', key: 'none' });
  expect(none).toEqual({ writes: [], links: [], open: 0, more: false });
});

test('answers an entry and its history', async () => {
  const { looking } = await filledAndOpened();
  const where = { namespace: 'trip:1', key: 'plan' };
  const entry = await looking.ask('GET /api/entry', where);
  expect(entry).toMatchObject({ ...where, value: { step: 3 }, version: 4, agent: 'booker', hidden: false });
  expect(await looking.ask('GET /api/entry', { ...where, at: 2 })).toMatchObject({ value: { step: 1 }, version: 2 });
  expect(await looking.refused('GET /api/entry', { ...where, key: 'none' })).toMatchObject({ code: 'NOT_FOUND' });
  expect(await looking.refused('GET /api/entry', { key: 'plan' })).toMatchObject({ status: 400 });
  const first = await looking.ask('GET /api/history', { ...where, limit: 3 });
  expect(first.items.map(({ version }) => version)).toEqual([4, 3, 2]);
  const rest = await looking.ask('GET /api/history', { ...where, after: first.next });
  expect(rest).toMatchObject({ items: [{ version: 1, value: { step: 0 }, hidden: false }], next: null });
  const gone = await looking.ask('GET /api/history', { namespace: 'trip:2', key: 'plan:b' });
  expect(gone.items.map(({ operation }) => operation)).toEqual(['delete', 'set']);
  expect('value' in (gone.items[0] ?? {})).toBe(false);
});

test('answers views, the timeline and the difference between two views', async () => {
  const { looking } = await filledAndOpened();
  const moment = await looking.ask('GET /api/view', { at: 5 });
  expect(moment).toMatchObject({ position: 5, first: 0, last: 12, at: expect.any(Number) });
  const later = await looking.ask('GET /api/view', { at: new Date(Date.now() + 1000).toISOString() });
  expect(later.position).toBe(12);
  expect(await looking.ask('GET /api/view', {})).toEqual(later);
  expect(await looking.refused('GET /api/view', { at: 13 })).toMatchObject({ status: 410 });
  const { points } = await looking.ask('GET /api/timeline', { points: 4 });
  expect(points.map(({ position }) => position)).toEqual([1, 4, 8, 12]);
  const first = await looking.ask('GET /api/diff', { a: 4, b: 12, limit: 2 });
  expect(first).toMatchObject({ a: 4, b: 12, added: 3, changed: 0, removed: 0 });
  const rest = await looking.ask('GET /api/diff', { a: 4, b: 12, limit: 2, after: first.next });
  expect([...first.items, ...rest.items].map(({ namespace, key }) => `${namespace} ${key}`)).toEqual([
    ...['other c', 'trip:2 notes', 'trip:2 plan:a'],
  ]);
  const changed = await looking.ask('GET /api/diff', { a: 1, b: 2, namespace: 'trip:1' });
  expect(changed.items).toMatchObject([{ before: { value: { step: 0 } }, after: { value: { step: 1 } } }]);
});

test('a branch has its own inspector, and ends with this one', async () => {
  const { cache, looking } = await filledAndOpened();
  const { url, position } = await looking.ask('POST /api/fork', { at: 4 });
  expect(position).toBe(4);
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice('#token='.length)}`, 'content-type': 'application/json' };
  const meta = await (await fetch(`${origin}/api/meta`, { headers })).json();
  expect(meta).toMatchObject({ branchOf: 4, allowWrite: true });
  const body = JSON.stringify({ namespace: 'trip:1', key: 'plan', value: 'mine', ifVersion: 4 });
  expect((await fetch(`${origin}/api/set`, { method: 'POST', headers, body })).status).toBe(200);
  expect(cache.get('plan', 'trip:1')).toEqual({ step: 3 });
  for (let more = 1; more < 4; more += 1) await looking.ask('POST /api/fork', { at: 4 });
  expect(await looking.refused('POST /api/fork', { at: 4 })).toMatchObject({ code: 'OVERLOADED' });
  await looking.inspector.close();
  await expect(fetch(`${origin}/api/meta`, { headers })).rejects.toThrow();
  expect(cache.health().status).toBe('ok');
});

test('health of a data directory has its size, its snapshots and the last verification', async () => {
  const dataDir = await tempDir('inspector');
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  await filled(cache);
  const looking = await lookAt(cache, { allowWrite: true });
  expect(await looking.ask('GET /api/meta')).toMatchObject({ durable: true, dataDir });
  const before = await looking.ask('GET /api/health');
  expect(before).toMatchObject({
    lastPublished: null,
    mirror: null,
    snapshots: { state: 'listed', items: [] },
    verify: { last: null },
  });
  expect(before.diskBytes).toBeGreaterThan(1000);
  expect(before.health.followers.map(({ name }) => name)).toContain('index');
  const snapshot = await looking.ask('POST /api/backup');
  expect((await looking.ask('GET /api/health')).snapshots).toMatchObject({
    ...{ state: 'listed', items: [{ id: snapshot.id, position: 12 }] },
  });
  expect(await looking.ask('POST /api/verify')).toMatchObject({ ok: true, position: 12 });
  const { verify } = await looking.ask('GET /api/health');
  expect(verify).toMatchObject({ running: null, last: { ok: true, at: expect.any(Number), against: 'nothing' } });
  expect(await looking.refused('POST /api/verify', { against: 'mirror' })).toMatchObject({ code: 'INVALID_OPTION' });
  expect(await looking.refused('POST /api/verify', { against: 'moon' })).toMatchObject({ code: 'INVALID_OPTION' });
});

test('health answers without Redis: the snapshots are unavailable, with the reason', async () => {
  const port = await freePort();
  const { cache, looking } = await look({}, { redisUrl: `redis://user:hush@127.0.0.1:${port}/0`, onError: () => {} });
  await cache.set('plan', 1, 'trip');
  const { health, snapshots, diskBytes, verify } = await looking.ask('GET /api/health');
  expect(snapshots).toEqual({
    state: 'unavailable',
    code: 'UNREACHABLE',
    reason: expect.stringContaining(`127.0.0.1:${port}`),
  });
  expect(JSON.stringify(snapshots)).not.toContain('hush');
  expect(health).toMatchObject({ log: { head: 1 }, redis: { address: expect.stringContaining(String(port)) } });
  expect({ diskBytes, verify }).toEqual({ diskBytes: null, verify: { running: null, last: null } });
});

test('health answers while the store of the snapshots is silent, and calls it once at a time', async () => {
  const clock = new ManualClock();
  let listings = 0;
  const store = new MemorySnapshotStore();
  store.list = () => {
    listings += 1;
    return new Promise(() => {});
  };
  const { cache, looking } = await look({}, { clock, backup: { store } });
  // Read once for each request, when its listing has begun.
  const sizes = vi.spyOn(cache.inspection, 'diskBytes');
  const [first, second] = [looking.ask('GET /api/health'), looking.ask('GET /api/health')];
  await waitFor(() => expect(sizes).toHaveBeenCalledTimes(2));
  expect(clock.pending).toContain(SNAPSHOTS_MS);
  clock.advance(SNAPSHOTS_MS);
  for (const answer of [first, second]) {
    expect((await answer).snapshots).toMatchObject({ state: 'unavailable', code: 'TIMED_OUT' });
  }
  expect(listings).toBe(1);
});

test('a verification finds the differences of a mirror', async () => {
  const secondaryCache = new InMemoryContextCache();
  const { cache, looking } = await look({}, { secondaryCache });
  await filled(cache);
  await cache.synced();
  expect(await looking.ask('POST /api/verify', { against: 'mirror' })).toMatchObject({
    ok: true,
    checked: { compared: 4 },
  });
  secondaryCache.set('plan', 'other', 'trip:1');
  secondaryCache.delete('c', 'other');
  const report = await looking.ask('POST /api/verify', { against: 'mirror' });
  expect(report.problems.map(({ kind, where }) => [kind, where.namespace, where.key]).sort()).toEqual([
    ['different', 'trip:1', 'plan'],
    ['missing', 'other', 'c'],
  ]);
  expect(await looking.ask('GET /api/health')).toMatchObject({
    ...{ mirror: 'InMemoryContextCache', verify: { last: { ok: false, against: 'mirror' } } },
  });
});

test('refuses an unknown address and a wrong method', async () => {
  const { looking } = await look();
  expect((await looking.fetch('/api/nothing')).status).toBe(404);
  expect((await looking.fetch('/api/constructor')).status).toBe(404);
  const wrong = await looking.fetch('/api/meta', { method: 'DELETE' });
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
});
