import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { AgentContextCache, CacheView, Entry } from '../../src/index.ts';
import type { Answer, Step } from './model.ts';
import { type Driver, type End, KEYS, NAMESPACES } from './model-driver.ts';

/** A command to a cache and its model. Plain data, so that a failure shows it. */
export type Command =
  | {
      readonly do: 'steps';
      readonly namespace: string;
      readonly steps: readonly AnyStep[];
      readonly agent: string | undefined;
      readonly wait: boolean;
    }
  | {
      readonly do: 'clear' | 'drop';
      readonly namespace: string;
      readonly agent: string | undefined;
      readonly wait: boolean;
    }
  | {
      readonly do: 'setMany' | 'update' | 'getOrSet';
      readonly namespace: string;
      readonly keys: readonly string[];
      readonly value: string;
    }
  | { readonly do: 'compact'; readonly keep: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'crash'; readonly namespace: string; readonly steps: readonly AnyStep[] }
  | { readonly do: 'passivate'; readonly namespace: string }
  | { readonly do: 'reopen'; readonly end: End }
  | { readonly do: 'backup' | 'restore' }
  | {
      readonly do: 'fork';
      readonly at: number;
      readonly namespace: string;
      readonly ours: readonly AnyStep[];
      readonly theirs: readonly AnyStep[];
    }
  | { readonly do: 'view' | 'diff'; readonly at: number; readonly to: number }
  | { readonly do: 'history'; readonly namespace: string; readonly key: string };

/** A step. Its condition is resolved when it runs. */
interface AnyStep extends Omit<Step, 'ifVersion' | 'expiresAt'> {
  readonly condition: 'none' | 'right' | 'wrong' | 'absent';
  /** Milliseconds from now; 0: expired at once. */
  readonly ttl: number | undefined;
}

type Operation = Parameters<AgentContextCache['batch']>[0][number];

const namespace = fc.constantFrom(...NAMESPACES);
const key = fc.constantFrom(...KEYS);
const agent = fc.option(fc.constantFrom('x', 'y'), { nil: undefined });
const wait = fc.boolean();
const step: fc.Arbitrary<AnyStep> = fc.record({
  operation: fc.constantFrom('set', 'set', 'set', 'delete', 'touch'),
  key,
  value: fc.oneof(fc.nat(9), fc.constantFrom(null, '', { a: [1, { b: null }] })),
  condition: fc.constantFrom('none', 'none', 'none', 'none', 'right', 'wrong', 'absent'),
  ttl: fc.option(fc.constantFrom(0, 1, 30, 500), { nil: undefined, freq: 3 }),
});
const one = fc.tuple(step);
const some = fc.array(step, { maxLength: 4 });
const place = fc.nat(1_000);

export const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('steps' as const), namespace, steps: one, agent, wait }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('steps' as const), namespace, steps: some, agent, wait }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('clear' as const, 'drop' as const), namespace, agent, wait }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('setMany' as const, 'update' as const, 'getOrSet' as const),
      namespace,
      keys: fc.array(key, { minLength: 1, maxLength: 3 }),
      value: fc.constantFrom('u', 'v'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(0, 1, 29, 400, 700) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), namespace, steps: some }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('passivate' as const), namespace }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reopen' as const),
      end: fc.constantFrom<End>('shutdown', 'kill', 'power cut'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('backup' as const, 'restore' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('compact' as const), keep: fc.constantFrom(1, 3, 10) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('fork' as const), at: place, namespace, ours: some, theirs: some }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('view' as const, 'diff' as const), at: place, to: place }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('history' as const), namespace, key }) },
);

/** Runs a command on cache and model, and compares the results. */
export async function run(driver: Driver, command: Command): Promise<void> {
  switch (command.do) {
    case 'steps':
      return batch(driver, command.namespace, command.steps, command.agent, command.wait);
    case 'clear':
    case 'drop':
      return clear(driver, command.namespace, command.agent, command.do === 'drop', command.wait);
    case 'setMany':
    case 'update':
    case 'getOrSet':
      return readAndWrite(driver, command.do, command.namespace, command.keys, command.value);
    case 'advance':
      return driver.advance(command.ms);
    case 'crash':
      return driver.crashAt(command.namespace, () => crash(driver, command.namespace, command.steps));
    case 'passivate':
      await driver.settle();
      if (await driver.cache.ask({ type: 'namespace.passivate', namespace: command.namespace }))
        driver.note('passivated');
      return;
    case 'reopen':
      return driver.reopen(command.end);
    case 'backup':
      return driver.backup();
    case 'restore':
      return driver.restore();
    case 'compact':
      return driver.compact(command.keep);
    case 'fork':
      return fork(driver, command);
    case 'view':
      await driver.settle();
      return compareView(driver, driver.cache.at(moment(driver, command.at)));
    case 'diff':
      return diff(driver, moment(driver, command.at), moment(driver, command.to));
    case 'history':
      return history(driver, command.namespace, command.key);
  }
}

/** Compares the present and the log of the cache with those of the model. */
export async function compareAll(driver: Driver): Promise<void> {
  await driver.settle();
  const { cache, model } = driver;
  const now = driver.clock.now();
  assert.deepEqual(cache.listNamespaces(), model.names(), 'namespaces');
  for (const name of NAMESPACES) {
    const live = model.entries(name).filter(({ expiresAt }) => expiresAt === null || expiresAt > now);
    assert.deepEqual(byKey(cache.entries(name)), live, `the state of ${name}`);
    assert.deepEqual(cache.listKeys(name).sort(), live.map((entry) => entry.key).sort());
    for (const each of KEYS) {
      const entry = live.find((other) => other.key === each);
      assert.deepEqual(cache.entry(each, name), entry);
      assert.deepEqual(cache.get(each, name), entry?.value);
      assert.equal(cache.has(each, name), entry !== undefined);
    }
  }
  assert.deepEqual(await driver.log(), model.log.slice(model.begin), 'the log');
}

function batch(
  driver: Driver,
  name: string,
  given: readonly AnyStep[],
  who: string | undefined,
  wait: boolean,
): Promise<void> {
  driver.expireNow(name);
  const steps = stepsFor(driver, name, given);
  const [only] = steps;
  const { cache, clock, model } = driver;
  const write = () => {
    if (steps.length !== 1 || only === undefined) return cache.batch(steps.map(operationOf), name, { agent: who });
    const { operation, key: of, value, expiresAt, ifVersion } = only;
    const options = { agent: who, ifVersion };
    if (operation === 'set') return cache.set(of, value ?? null, name, { ...options, expiresAt });
    return operation === 'delete' ? cache.delete(of, name, options) : cache.touch(of, name, { ...options, expiresAt });
  };
  return driver.write(write, () => model.steps(name, clock.now(), who ?? null, steps), wait);
}

function clear(driver: Driver, name: string, who: string | undefined, drop: boolean, wait: boolean): Promise<void> {
  driver.expireNow(name);
  const { cache, clock, model } = driver;
  const options = who === undefined ? {} : { agent: who };
  const write = () => (drop ? cache.dropNamespace(name, options) : cache.clearNamespace(name, options));
  return driver.write(write, () => model.clear(name, clock.now(), who ?? null, drop), wait);
}

async function readAndWrite(
  driver: Driver,
  kind: 'setMany' | 'update' | 'getOrSet',
  name: string,
  keys: readonly string[],
  value: string,
): Promise<void> {
  await driver.settle();
  const { cache, clock, model } = driver;
  const [first] = keys as [string];
  const seen = cache.get(first, name);
  if (kind === 'getOrSet') {
    const got = await cache.getOrSet(first, () => value, name);
    assert.deepEqual(got, seen ?? (seen === null ? null : value));
    if (seen !== undefined) return;
    driver.expireNow(name);
    model.steps(name, clock.now(), null, [{ operation: 'set', key: first, value }]);
    return;
  }
  driver.expireNow(name);
  if (kind === 'setMany') {
    const steps = keys.map((each) => ({ operation: 'set' as const, key: each, value }));
    const pairs = keys.map((each) => [each, value] as const);
    return driver.write(
      () => cache.setMany(pairs, name),
      () => model.steps(name, clock.now(), null, steps),
      true,
    );
  }
  const next = [value, seen === undefined ? 'new' : 'old'];
  const write = async () => {
    const { value: stored, entry, ...answer } = await cache.update(first, () => next, name);
    assert.deepEqual([stored, entry], [next, model.entry(first, name)], 'what an update returns');
    return answer;
  };
  return driver.write(
    write,
    () => model.steps(name, clock.now(), null, [{ operation: 'set', key: first, value: next }]),
    true,
  );
}

/** Crashes the actor. Only what the log had taken by then counts: one expiry, or the whole command. */
async function crash(driver: Driver, name: string, given: readonly AnyStep[]): Promise<void> {
  const { model, clock } = driver;
  const [over] = model.over(name, clock.now());
  const steps = stepsFor(driver, name, given);
  const work = driver.cache.batch(steps.map(operationOf), name);
  const expected = (): Answer | 'conflict' | 'crash' => {
    if (over !== undefined) model.expire(name, over.key, clock.now());
    const answer = over === undefined ? model.steps(name, clock.now(), null, steps) : 'crash';
    return driver.crashed ? 'crash' : answer;
  };
  await driver.write(() => work, expected, true);
}

function stepsFor({ model, clock }: Driver, name: string, given: readonly AnyStep[]): Step[] {
  return given.map(({ operation, key: of, value, condition, ttl }) => {
    const present = model.entry(of, name)?.version ?? 0;
    const versions = { none: undefined, right: present, wrong: present + 1, absent: 0 };
    const expiresAt = operation === 'delete' || ttl === undefined ? null : clock.now() + ttl;
    return { operation, key: of, value: value ?? null, expiresAt, ifVersion: versions[condition] };
  });
}

function operationOf({ operation, key: of, value = null, expiresAt, ifVersion }: Step): Operation {
  if (operation === 'set') return { operation, key: of, value, expiresAt, ifVersion };
  return operation === 'delete' ? { operation, key: of, ifVersion } : { operation, key: of, expiresAt, ifVersion };
}

function moment({ model }: Driver, at: number): number {
  return model.begin + (at % (model.head - model.begin + 1));
}

function compareView(driver: Driver, view: CacheView): void {
  const { position } = view;
  assert.deepEqual(view.listNamespaces(), driver.model.names(position), `the namespaces at ${position}`);
  for (const name of NAMESPACES) {
    assert.deepEqual(byKey(view.entries(name)), driver.model.entries(name, position), `${name} at ${position}`);
  }
}

async function diff(driver: Driver, from: number, to: number): Promise<void> {
  await driver.settle();
  const { added, changed, removed } = await driver.cache.diff(from, to);
  const [before, after] = [from, to].map((at) => NAMESPACES.flatMap((name) => driver.model.entries(name, at)));
  const isIn = (entries: readonly Entry[] | undefined, { namespace: of, key: name }: Entry) =>
    entries?.find((other) => other.namespace === of && other.key === name);
  const differs = (entry: Entry) => JSON.stringify(isIn(before, entry)) !== JSON.stringify(entry);
  assert.deepEqual(byKey(added), byKey(after?.filter((entry) => !isIn(before, entry)) ?? []), 'added');
  assert.deepEqual(byKey(removed), byKey(before?.filter((entry) => !isIn(after, entry)) ?? []), 'removed');
  const expected = after?.filter((entry) => isIn(before, entry) && differs(entry)) ?? [];
  assert.deepEqual(byKey(changed.map((each) => each.after)), byKey(expected), 'changed');
}

/** Changes a branch and its parent, then merges the branch: its changes arrive, and nothing else changes. */
async function fork(
  driver: Driver,
  { at, namespace: name, ours, theirs }: Extract<Command, { do: 'fork' }>,
): Promise<void> {
  await driver.settle();
  const position = moment(driver, at);
  const branch = await driver.fork(position);
  await batch(driver, name, ours, 'ours', true);
  await batch(branch, name, theirs, 'theirs', true);
  await compareAll(branch);
  await compareAll(driver);
  const now = driver.clock.now();
  const before = living(driver, name, now, position);
  const after = living(branch, name, now);
  const expected = new Map(Array.from(living(driver, name, now), ([of, entry]) => [of, seen(entry)]));
  for (const of of KEYS) {
    const changed = after.get(of);
    if (isDeepStrictEqual(changed, before.get(of))) continue;
    if (changed === undefined) expected.delete(of);
    else expected.set(of, seen(changed));
  }
  await driver.merge(branch);
  const merged = new Map(Array.from(living(driver, name, now), ([of, entry]) => [of, seen(entry)]));
  assert.deepEqual(merged, expected, `${name} after the merge`);
  await compareAll(driver);
  await branch.cache.shutdown();
}

function living({ model }: Driver, name: string, now: number, position = model.head): Map<string, Entry> {
  const entries = model.entries(name, position).filter(({ expiresAt }) => expiresAt === null || expiresAt > now);
  return new Map(entries.map((entry) => [entry.key, entry]));
}

function seen({ value, expiresAt }: Entry): unknown {
  return { value, expiresAt };
}

async function history(driver: Driver, name: string, of: string): Promise<void> {
  await driver.settle();
  const { model } = driver;
  const expected = model.log.slice(model.begin).flatMap((update) => {
    const [before, after] = [update.position - 1, update.position].map((position) =>
      model.entries(name, position).find((entry) => entry.key === of),
    );
    const concerns = update.namespace === name && (update.key === of || (update.key === null && before !== undefined));
    if (!concerns) return [];
    const { operation, version, position, at, agent: by, expiresAt } = update;
    return [{ operation, value: after?.value, version, position, at, agent: by, expiresAt }];
  });
  const found = [];
  for await (const version of driver.cache.history(of, name)) found.push(version);
  assert.deepEqual(found, expected.reverse(), `the history of ${of} in ${name}`);
}

function byKey(entries: readonly Entry[]): Entry[] {
  const id = (entry: Entry) => `${NAMESPACES.indexOf(entry.namespace)} ${entry.key}`;
  return [...entries].sort((a, b) => (id(a) < id(b) ? -1 : 1));
}
