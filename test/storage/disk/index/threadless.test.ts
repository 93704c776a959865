import { expect, it, vi } from 'vitest';
import { openIndex } from '../../../support/index.ts';
import { someSets } from '../../../support/log.ts';

vi.mock('node:worker_threads', async (original) => {
  const threads = await original<typeof import('node:worker_threads')>();
  class Missing extends threads.Worker {
    constructor(_: URL, options: object) {
      super(new URL('missing.mjs', import.meta.url), options);
    }
  }
  return { ...threads, Worker: Missing };
});

it('an index whose thread cannot be started is written in this one', async () => {
  const { log, index, table, events, close } = await openIndex(undefined, { worker: true });
  log.append(someSets(1000));
  await log.flush();
  await expect(index.fold(1000)).rejects.toThrow('cannot be started');
  await index.connect();
  await index.fold(1000);
  expect(table.hydrate('n')?.entries.size).toBe(1000);
  expect(events.map(({ type }) => type)).toEqual(['failed', 'rebuilding', 'rebuilt']);
  await close();
});
