import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareNames } from '../../src/core/names.ts';
import { AgentContextCache } from '../../src/index.ts';
import { dumpChunks } from '../../src/serve/json-lines.ts';
import { AIRLINE_UPDATES, airlineLines } from '../support/airline.ts';
import { type Looking, lookAt, waitFor } from '../support/inspector.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Builds the output of `dump --at`, in its order, from the pages that the data view reads in natural order. */
async function shownAt(looking: Looking, at: number): Promise<string> {
  const lines: string[] = [];
  for (const namespace of await everyName(looking, 'GET /api/namespaces', { at })) {
    const keys = await everyName(looking, 'GET /api/keys', { at, namespace });
    const entries = await Promise.all(keys.map((key) => looking.ask('GET /api/entry', { at, namespace, key })));
    for (const { key, value, version } of entries) {
      lines.push(`${JSON.stringify({ namespace, key, value, version })}\n`);
    }
  }
  return lines.join('');
}

async function everyName(
  looking: Looking,
  address: 'GET /api/namespaces' | 'GET /api/keys',
  given: Record<string, unknown>,
): Promise<string[]> {
  const names: string[] = [];
  for (let after: string | null | undefined; after !== null; ) {
    const page: { items: readonly { label: string }[]; next: string | null } = await looking.ask(address, {
      ...{ ...given, after, separator: '', limit: 500 },
    });
    names.push(...page.items.map(({ label }) => label));
    after = page.next;
  }
  return names.sort(compareNames);
}

async function dumpAt(cache: AgentContextCache, at: number): Promise<string> {
  let text = '';
  for await (const chunk of dumpChunks(cache, { at })) text += chunk;
  return text;
}

describe('the recorded agent runs', () => {
  test.each(['in memory', 'on disk'])(
    '%s: the data view at a position equals the output of dump --at',
    async (where) => {
      const log = { keepUpdates: 20_000 };
      const dataDir = where === 'on disk' ? join(await tempDir('inspector-past'), 'data') : undefined;
      await using cache = await AgentContextCache.open({ dataDir, log, natsUrl: null });
      for (const line of airlineLines()) void cache.ask(JSON.parse(line));
      await cache.flush();
      await waitFor(() => expect(cache.position).toBe(AIRLINE_UPDATES));
      const looking = await lookAt(cache, { redact: false });
      for (const at of [0, 1, 300, 900]) {
        const dump = await dumpAt(cache, at);
        expect(dump.split('\n').length).toBeGreaterThan(Math.min(at, 40));
        expect(await shownAt(looking, at)).toBe(dump);
      }
      const moment = await looking.ask('GET /api/view', { at: 4_000 });
      expect(moment).toMatchObject({ position: 4_000, first: 0, last: AIRLINE_UPDATES });
      const { items } = await looking.ask('GET /api/updates', { around: 4_000, limit: 10 });
      expect(items.map(({ position }) => position)).toEqual(Array.from({ length: 10 }, (_, i) => 4_004 - i));
    },
  );
});

test('a view stops holding retention back once no page uses it', async () => {
  await using cache = await AgentContextCache.open({ dataDir: await tempDir('inspector-held'), natsUrl: null });
  for (let i = 0; i < 100; i += 1) await cache.set('k', i);
  const looking = await lookAt(cache);
  await looking.ask('GET /api/keys', { namespace: 'default', at: 10 });
  expect((await cache.compact({ keepUpdates: 5 })).heldBy).toBe('a view');
  await looking.inspector.close();
  expect((await cache.compact({ keepUpdates: 5 })).heldBy).toBeUndefined();
});
