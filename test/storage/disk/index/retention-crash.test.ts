import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { apply } from '../../../../src/core/apply.ts';
import { NamespaceState } from '../../../../src/core/namespace-state.ts';
import type { Update } from '../../../../src/core/update.ts';
import { DurablePast } from '../../../../src/storage/disk/durable-past.ts';
import { DurableRetained } from '../../../../src/storage/disk/durable-retained.ts';
import type { OpenStorage } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { type Fate, FaultStorage } from '../../../support/fault-storage.ts';
import { openIndex } from '../../../support/index.ts';
import { all, aStep, Cache } from '../../../support/log.ts';
import { removeTempDir, tempDir } from '../../../support/temp-dir.ts';

const never = new AbortController().signal;

async function open(dataDir: string, openStorage?: OpenStorage, worker = false) {
  const opened = await openIndex(dataDir, openStorage === undefined ? { worker } : { openStorage });
  const past = new DurablePast(opened.table, opened.log);
  return { ...opened, past, retained: new DurableRetained(opened.log, opened.index, past) };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** Writes in small groups, and lets the index follow. */
async function write({ log, index }: Opened, updates: readonly Update[]): Promise<void> {
  for (let i = 0; i < updates.length; i += 7) {
    log.append(updates.slice(i, i + 7));
    await log.flush();
    if (i % 70 === 0) await index.fold(log.committed);
  }
  await index.fold(log.committed);
}

/** Checks that everything from the oldest position on is as the updates say. */
async function expectWhole({ log, past }: Opened, updates: readonly Update[]): Promise<void> {
  expect(await all(log.read(log.first))).toEqual(updates.slice(log.first - 1));
  const states = new Map<string, NamespaceState>();
  for (let position = 0; position <= updates.length; position += 1) {
    const update = updates[position - 1];
    if (update !== undefined) {
      const state = states.get(update.namespace) ?? new NamespaceState(update.namespace);
      apply(state, update);
      if (update.drop) states.delete(update.namespace);
      else states.set(update.namespace, state);
    }
    if (position < past.first) continue;
    const view = past.at(position);
    expect([...view.names()].sort()).toEqual([...states.keys()].sort());
    for (const [name, state] of states) {
      expect(new Map(view.state(name)?.entries)).toEqual(new Map(state.entries));
      expect(view.lastChange(name)).toBe(state.position);
    }
    view.release?.();
  }
}

/** Trims, and lets the process end at the `nth` write. Returns whether there was such a write. */
async function crashAt(dataDir: string, position: number, nth: number, fate: Fate): Promise<boolean> {
  const storage = new FaultStorage();
  const opened = await open(dataDir, storage.open);
  let left = nth;
  const isDue = () => {
    left -= 1;
    return left === -1;
  };
  storage.decide = () => (isDue() ? fate : 'done');
  await opened.retained.trim(position, true, never).catch(() => undefined);
  await opened.close();
  return left < 0;
}

const steps =
  fc.sample(fc.array(aStep(6), { minLength: 420, maxLength: 420, size: 'max' }), { numRuns: 1, seed: 7 })[0] ?? [];

describe('a compaction interrupted by a crash', () => {
  it.each<Fate>(['lost', 'unknown'])(
    'at any write (%s) leaves everything that must be kept',
    async (fate) => {
      const updates = new Cache(1).takeAll(steps) as Update[];
      expect(updates.length).toBeGreaterThan(250);
      let crashes = 0;
      for (const keep of [150, 20, 0]) {
        const position = updates.length - keep;
        for (let nth = 0; ; nth += 1) {
          const dataDir = await tempDir('retention-crash');
          const first = await open(dataDir);
          await write(first, updates);
          await first.close();
          const crashed = await crashAt(dataDir, position, nth, fate);
          const again = await open(dataDir);
          expect([0, position]).toContain(again.past.first);
          await expectWhole(again, updates);
          await again.retained.trim(position, true, never);
          expect(again.past.first).toBe(position);
          await expectWhole(again, updates);
          expect(again.log.names().base).toBe(position);
          expect(again.events.filter(({ type }) => type !== 'failed')).toEqual([]);
          await again.close();
          removeTempDir(dataDir);
          if (!crashed) break;
          crashes += 1;
        }
      }
      expect(crashes).toBeGreaterThan(6);
    },
    240_000,
  );
});
