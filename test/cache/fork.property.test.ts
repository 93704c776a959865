import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AgentContextCache, type Entry, MergeConflictError, type OpenOptions, type Update } from '../../src/index.ts';
import { anyCommand, MERGED, Model, merged, NAMES, type Policy, placesOf, valuesOf } from '../support/fork-model.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { foldTo } from '../support/past.ts';
import { fcOptions } from '../support/property.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';

const opened: AgentContextCache[] = [];

afterEach(async () => {
  for (const cache of opened.splice(0).reverse()) await cache.shutdown({ timeoutMs: 5_000 });
});

function closing(cache: AgentContextCache): AgentContextCache {
  opened.push(cache);
  return cache;
}

async function updatesOf(cache: AgentContextCache): Promise<Update[]> {
  await cache.flush();
  const updates: Update[] = [];
  for await (const update of cache.readLog()) updates.push(update);
  return updates;
}

const commands = fc.array(anyCommand, { maxLength: 30, size: 'max' });

const scenario = fc.record({
  before: commands,
  between: commands,
  inParent: commands,
  inBranch: commands,
  /** Index among the commands before the fork at which the branch starts; a larger one means the present. */
  fork: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat(30)),
  parent: fc.constantFrom('memory', 'forgetful', 'durable', 'checkpointed', 'branch'),
  intoDirectory: fc.boolean(),
  policy: fc.constantFrom<Policy>('ours', 'theirs', 'value'),
});

interface Made {
  readonly cache: AgentContextCache;
  readonly branch: AgentContextCache;
  readonly clock: ManualClock;
  readonly models: { readonly base: Model; readonly ours: Model; readonly theirs: Model };
  readonly at: number;
  /** The updates up to the position of the fork. */
  readonly past: Update[];
  /** True if the logs are too small to hold every update. */
  readonly isForgetful: boolean;
}

/** Makes a cache and a branch of it, and executes commands in both. */
async function make(given: typeof scenario extends fc.Arbitrary<infer T> ? T : never, dirs: string[]): Promise<Made> {
  const clock = new ManualClock();
  const newDir = async () => {
    dirs.push(await tempDir('fork'));
    return dirs.at(-1) as string;
  };
  const options: OpenOptions = { clock, sync: false, durability: 'memory', onError: () => {} };
  const isDurable = given.parent === 'durable' || given.parent === 'checkpointed';
  const dataDirOfFirst = isDurable ? await newDir() : undefined;
  // A forgetful cache can only be forked at the present.
  const isForgetful = given.parent === 'forgetful';
  const log = { capacityUpdates: isForgetful ? 6 : 10_000 };
  const first = closing(await AgentContextCache.open({ ...options, log, dataDir: dataDirOfFirst }));
  const model = new Model();
  const grandparents = given.parent === 'branch' ? given.before.splice(0, 10) : [];
  for (const each of grandparents) each(first, model, clock);
  const cache = given.parent === 'branch' ? closing(await first.fork()) : first;
  const firstPart = given.parent === 'branch' ? (await updatesOf(first)).slice(0, cache.position) : [];
  const marks: { position: number; model: Model }[] = [{ position: cache.position, model: model.copy() }];
  for (const each of given.before) {
    each(cache, model, clock);
    marks.push({ position: cache.position, model: model.copy() });
    if (given.parent === 'checkpointed' && marks.length % 7 === 0) await checkpoint(cache, clock);
  }
  const mark = marks[Math.min(given.fork, marks.length - 1)] as (typeof marks)[number];
  const forkAt = given.fork < marks.length && !isForgetful ? mark.position : undefined;
  if (forkAt !== undefined) for (const each of given.between) each(cache, model, clock);
  const dataDir = given.intoDirectory ? await newDir() : undefined;
  const branch = closing(await cache.fork({ at: forkAt, dataDir, sync: false, durability: 'memory' }));
  const theirs = forkAt === undefined ? model.copy() : mark.model.copy();
  const base = theirs.copy();
  const [mine, other] = [[...given.inParent], [...given.inBranch]];
  while (mine.length + other.length > 0) {
    mine.shift()?.(cache, model, clock);
    other.shift()?.(branch, theirs, clock);
    if (given.parent === 'checkpointed' && mine.length % 7 === 6) await checkpoint(cache, clock);
  }
  const at = forkAt ?? branch.health().log.first - 1;
  const past = [...firstPart, ...(await updatesOf(cache))].slice(0, at);
  return { cache, branch, clock, models: { base, ours: model, theirs }, at, past, isForgetful };
}

async function checkpoint(cache: AgentContextCache, clock: ManualClock): Promise<void> {
  await cache.flush();
  await vi.waitFor(
    () => {
      clock.advance(600);
      expect(cache.health().followers.find(({ name }) => name === 'index')?.checkpoint).toBe(cache.position);
    },
    { timeout: 30_000 },
  );
}

const sorted = (entries: readonly Entry[]) => [...entries].sort((a, b) => (a.key < b.key ? -1 : 1));

function expectFold(cache: AgentContextCache, log: readonly Update[], now: number): void {
  const folded = foldTo(log, log.length);
  expect(cache.listNamespaces()).toEqual(folded.names());
  for (const name of NAMES) {
    const live = folded.entries(name).filter(({ expiresAt }) => expiresAt === null || expiresAt > now);
    expect(sorted(cache.entries(name))).toEqual(live);
    expect(cache.listKeys(name).sort()).toEqual(live.map(({ key }) => key));
    for (const { key, value } of live) expect(cache.get(key, name)).toEqual(value);
  }
}

async function whatever(check: (made: Made, given: { policy: Policy }) => Promise<void>, runs: number): Promise<void> {
  const property = fc.asyncProperty(scenario, async (given) => {
    const dirs: string[] = [];
    // `make` removes commands from it.
    const made = await make({ ...given, before: [...given.before] }, dirs);
    await check(made, given);
    for (const cache of opened.splice(0).reverse()) await cache.shutdown();
    for (const dir of dirs) removeTempDir(dir);
  });
  await fc.assert(property, fcOptions(runs));
}

describe('a branch', () => {
  it('holds its starting state with its own changes, and its parent holds only the parent’s changes', async () => {
    await whatever(async ({ cache, branch, clock, models, at, past, isForgetful }) => {
      const now = clock.now();
      expect(valuesOf(branch)).toEqual(models.theirs.values(now));
      expect(valuesOf(cache)).toEqual(models.ours.values(now));
      if (isForgetful) return;
      const log = [...past, ...(await updatesOf(branch))];
      expect(log.map(({ position }) => position)).toEqual(log.map((_, index) => index + 1));
      expectFold(branch, log, now);
      for (let position = branch.health().log.durable ? at : 0; position <= log.length; position += 1) {
        const folded = foldTo(log, position);
        const view = branch.at(position);
        expect(view.listNamespaces()).toEqual(folded.names());
        for (const name of NAMES) expect(sorted(view.entries(name))).toEqual(folded.entries(name));
      }
    }, 60);
  });

  it('has a diff with its parent of exactly the entries that differ', async () => {
    await whatever(async ({ cache, branch }) => {
      const difference = await cache.diff(cache, branch);
      const all = (view: AgentContextCache) => {
        const now = view.at(view.position);
        const entries = NAMES.flatMap((name) => now.entries(name));
        return new Map(entries.map((entry) => [`${entry.namespace}|${entry.key}`, entry]));
      };
      const [ours, theirs] = [all(cache), all(branch)];
      const found = (entries: readonly Entry[]) =>
        new Map(entries.map((entry) => [`${entry.namespace}|${entry.key}`, entry]));
      const same = (key: string) => JSON.stringify(ours.get(key)) === JSON.stringify(theirs.get(key));
      expect(found(difference.added)).toEqual(new Map([...theirs].filter(([key]) => !ours.has(key))));
      expect(found(difference.removed)).toEqual(new Map([...ours].filter(([key]) => !theirs.has(key))));
      expect(found(difference.changed.map(({ after }) => after))).toEqual(
        new Map([...theirs].filter(([key]) => ours.has(key) && !same(key))),
      );
    }, 40);
  });

  it('is merged like the model', async () => {
    await whatever(async ({ cache, branch, clock, models, past, at, isForgetful }, { policy }) => {
      const now = clock.now();
      const { base, ours, theirs } = models;
      const expected = merged(base, ours, theirs, now, policy);
      const before = cache.position;
      if (expected.conflicts.length > 0) {
        const failure = await cache.merge(branch).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(MergeConflictError);
        expect(placesOf((failure as MergeConflictError).conflicts)).toEqual(expected.conflicts);
        expect(cache.position).toBe(before);
        expect(valuesOf(cache)).toEqual(ours.values(now));
      }
      const onConflict = policy === 'value' ? () => ({ value: MERGED }) : policy;
      const report = await cache.merge(branch, { onConflict });
      expect(placesOf(report.conflicts)).toEqual(expected.conflicts);
      expect(valuesOf(cache)).toEqual(expected.result.values(now));
      expect(valuesOf(branch)).toEqual(theirs.values(now));
      expect(report.position).toBe(cache.position);
      const again = await cache.merge(branch);
      expect([again.updates, again.conflicts, again.position]).toEqual([0, [], cache.position]);
      if (isForgetful) return;
      // The log holds every update of the merge.
      const log = await updatesOf(cache);
      const begin = log.length === cache.position ? [] : past.slice(0, cache.health().log.first - 1);
      expect(begin.length).toBeLessThanOrEqual(at);
      expectFold(cache, [...begin, ...log], now);
    }, 80);
  });
});
