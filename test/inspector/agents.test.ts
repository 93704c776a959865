import { expect, test } from 'vitest';
import { look } from '../support/inspector.ts';

test('lists the latest writers first, with updates and refused writes, and goes on counting', async () => {
  const { cache, looking } = await look();
  await cache.set('plan', 1, 'trip', { agent: 'planner' });
  await cache.set('plan', 2, 'trip', { agent: 'critic' });
  await cache.set('plan', 3, 'trip');
  await cache.set('plan', 4, 'trip', { agent: 'planner', ifVersion: 1 }).catch(() => {});
  await cache.set('plan', 4, 'trip', { agent: 'late', ifVersion: 0 }).catch(() => {});
  expect(await looking.ask('GET /api/agents')).toEqual({
    agents: [
      {
        agent: null,
        updates: 1,
        conflicts: 0,
        last: { at: expect.any(Number), position: 3, namespace: 'trip', key: 'plan' },
      },
      { agent: 'critic', updates: 1, conflicts: 0, last: expect.objectContaining({ position: 2 }) },
      { agent: 'planner', updates: 1, conflicts: 1, last: expect.objectContaining({ position: 1 }) },
      { agent: 'late', updates: 0, conflicts: 1, last: null },
    ],
    ...{ total: 3, from: 1, to: 3 },
    conflicts: {
      count: 2,
      recent: [
        { at: expect.any(Number), namespace: 'trip', key: 'plan', agent: 'late', expected: 0, found: 3 },
        { at: expect.any(Number), namespace: 'trip', key: 'plan', agent: 'planner', expected: 1, found: 3 },
      ],
    },
  });
  await cache.set('plan', 5, 'trip', { agent: 'critic' });
  const { agents, to } = await looking.ask('GET /api/agents', { limit: 1 });
  expect({ agents, to }).toMatchObject({ agents: [{ agent: 'critic', updates: 2 }], to: 4 });
  expect(await looking.ask('GET /api/overview')).toMatchObject({ conflicts: 2 });
});

test('counts each refused attempt of an update that is repeated', async () => {
  const { cache, looking } = await look();
  await cache.set('count', 0);
  const add = () => cache.update('count', (value) => (value as number) + 1, 'default', { agent: 'adder' });
  await Promise.all([add(), add(), add()]);
  const { conflicts } = await looking.ask('GET /api/agents');
  expect(conflicts.count).toBe(0);
  const slow = () => cache.update('count', async (value) => (value as number) + 1, 'default', { agent: 'slow' });
  await Promise.all([slow(), slow()]);
  expect((await looking.ask('GET /api/agents')).conflicts.count).toBeGreaterThan(0);
  expect(await cache.get('count')).toBe(5);
});

test('counts as many namespaces in the overview as in the lists', async () => {
  const { cache, looking } = await look();
  const watch = cache.watch({ namespace: 'only-watched' });
  for (const name of ['trip:1', 'trip:2']) await cache.set('a', 1, name);
  const { namespaces } = await looking.ask('GET /api/overview');
  const { total } = await looking.ask('GET /api/namespaces');
  const actors = await looking.ask('GET /api/actors');
  expect([namespaces.total, total, actors.namespaces.total]).toEqual([3, 3, 3]);
  expect(namespaces.resident).toBe(actors.namespaces.byStatus.resident);
  await watch.return?.();
});

test('gives the namespaces as a tree of actors', async () => {
  const { cache, looking } = await look();
  for (const name of ['task-10/a', 'task-10/b', 'task-2/a', 'task-2/b', 'trip']) await cache.set('a', 1, name);
  const top = await looking.ask('GET /api/actor-tree');
  expect(top.items).toMatchObject([
    { kind: 'item', label: 'default' },
    { kind: 'group', label: 'task-2/', count: 2 },
    { kind: 'group', label: 'task-10/', count: 2 },
    { kind: 'item', item: { id: 'namespace:trip', status: 'resident', namespace: { keys: 1 } } },
  ]);
  const below = await looking.ask('GET /api/actor-tree', { prefix: 'task-2/', limit: 1 });
  expect(below).toMatchObject({
    items: [{ label: 'a', item: { id: 'namespace:task-2/a' } }],
    total: 2,
    next: 'itask-2/a',
  });
});
