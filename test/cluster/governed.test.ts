import { expect, test } from 'vitest';
import { z } from 'zod';
import { openNode } from '../support/cluster.ts';
import { MemoryStream } from '../support/memory-stream.ts';

test('a briefing on one node tells what was written on another, and the next one on a third goes on from there', async () => {
  const stream = new MemoryStream();
  const open = (node: string) => openNode(stream.connect(), { node });
  await using a = await open('a');
  await using b = await open('b');
  await using c = await open('c');
  await a.set('hotel', 'Adler', 'trip', { agent: 'booker' });
  await b.barrier();
  const asked = { namespaces: ['trip'] };
  const first = await b.as({ agent: 'planner' }).briefing(asked);
  expect(first.changes).toMatchObject([{ key: 'hotel', value: 'Adler', agent: 'booker', version: 1 }]);
  await a.set('train', '9:04', 'trip', { agent: 'booker' });
  await c.barrier();
  const next = await c.as({ agent: 'planner' }).briefing(asked);
  expect(next.changes.map(({ key }) => key)).toEqual(['train']);
  expect(next.since).toBe(first.until);
});

test('each node finds the recorded and present values that new schemas refuse', async () => {
  const stream = new MemoryStream();
  await using a = await openNode(stream.connect(), { node: 'a' });
  await using b = await openNode(stream.connect(), { node: 'b' });
  await a.set('plan', 3, 'trip', { agent: 'ann' });
  await a.set('plan', 'Oslo', 'trip', { agent: 'ann' });
  await b.set('next', 4, 'trip', { agent: 'bob' });
  await a.barrier();
  for (const node of [a, b]) {
    const report = await node.checkSchemas({ trip: z.string() });
    expect(report).toMatchObject({ ok: false, refused: { recorded: 2, present: 1 } });
    expect(report.recorded.map(({ key, position, agent }) => [key, position, agent])).toEqual([
      ['plan', 1, 'ann'],
      ['next', 3, 'bob'],
    ]);
  }
});
