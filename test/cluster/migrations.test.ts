import { expect, test } from 'vitest';
import type { AgentContextCache } from '../../src/index.ts';
import type { Migration } from '../../src/types.ts';
import { codeOf, logOf } from '../support/cache.ts';
import { openNode } from '../support/cluster.ts';
import { MemoryStream } from '../support/memory-stream.ts';

const isText = (value: unknown) => typeof value === 'string';
const steps = (migrate: Migration['migrate']): Migration[] => [
  { version: 2, namespaces: 'trip/**', when: isText, migrate },
];

test('nodes with different migrations read different forms of one state, and all stay in service', async () => {
  const errors: unknown[] = [];
  const stream = new MemoryStream();
  const open = (node: string, migrations?: readonly Migration[]) =>
    openNode(stream.connect(), { node, migrations, onError: (error) => void errors.push(error) });
  await using old = await open('old');
  await using cities = await open(
    'cities',
    steps((value) => ({ city: value })),
  );
  await using places = await open(
    'places',
    steps((value) => ({ place: value })),
  );
  await using failing = await open(
    'failing',
    steps(() => {
      throw new Error('not ready');
    }),
  );
  const nodes: AgentContextCache[] = [old, cities, places, failing];
  const settled = () => Promise.all(nodes.map((node) => node.barrier()));

  await old.set('plan', 'Oslo', 'trip/7');
  await failing.set('next', 'Rome', 'trip/7');
  await settled();
  expect([old, cities, places].map((node) => node.get('plan', 'trip/7'))).toEqual([
    'Oslo',
    { city: 'Oslo' },
    { place: 'Oslo' },
  ]);
  expect(await codeOf((async () => failing.get('plan', 'trip/7'))())).toBe('MIGRATION_FAILED');

  // Each node's update writes what its own readers get; what is decided from the stored value is decided alike everywhere.
  await cities.update('plan', (plan) => ({ ...(plan as object), days: 3 }), 'trip/7');
  await places.update('next', (next) => ({ ...(next as object), days: 2 }), 'trip/7');
  const same = await Promise.all(nodes.map((node) => node.set('third', 'Bern', 'trip/7', { ifDifferent: true })));
  expect(same.filter(({ changed }) => changed)).toHaveLength(1);
  await settled();
  for (const node of nodes) {
    expect(node.get('plan', 'trip/7')).toEqual({ city: 'Oslo', days: 3 });
    expect(node.get('next', 'trip/7')).toEqual({ place: 'Rome', days: 2 });
  }

  const [log, ...logs] = await Promise.all(nodes.map(logOf));
  expect(log?.map(({ key, value }) => [key, value])).toEqual([
    ['plan', 'Oslo'],
    ['next', 'Rome'],
    ['plan', { city: 'Oslo', days: 3 }],
    ['next', { place: 'Rome', days: 2 }],
    ['third', 'Bern'],
  ]);
  for (const each of logs) expect(each).toEqual(log);
  expect(new Set(await Promise.all(nodes.map((node) => node.digest()))).size).toBe(1);
  expect(new Set(nodes.map((node) => node.health().cluster?.hash)).size).toBe(1);
  for (const node of nodes) {
    expect(await node.verify()).toMatchObject({ ok: true });
    expect(node.health().cluster?.status).toBe('ready');
  }
  expect(errors).toEqual([]);
});
