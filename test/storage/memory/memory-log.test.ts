import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { createUpdate } from '../../../src/core/update.ts';
import type { MemoryFollower } from '../../../src/storage/memory/memory-follower.ts';
import { MemoryLog } from '../../../src/storage/memory/memory-log.ts';
import type { UpdateBatch } from '../../../src/storage/update-log.ts';
import { updateLogSuite } from '../../../src/testing/update-log-suite.ts';
import { all, aSet, aStep, Cache, Destination, NAMESPACES, positions, type Step, someSets } from '../../support/log.ts';
import { fcOptions } from '../../support/property.ts';

describe('MemoryLog conforms', () => {
  updateLogSuite({ test, open: () => ({ log: new MemoryLog() }) });
});

const del = (version: number, key: string) =>
  createUpdate({ namespace: 'n', version, operation: 'delete', key, at: 1, replaced: version - 1 });
const touch = (version: number, key: string) =>
  createUpdate({
    namespace: 'n',
    version,
    operation: 'touch',
    key,
    at: 77,
    agent: 'toucher',
    expiresAt: 5000,
    replaced: version - 1,
  });

/** A log that keeps one update, so that all others go to the followers' overflow. */
async function narrow(...updates: Parameters<MemoryLog['append']>[0][number][]) {
  const log = new MemoryLog({ capacityUpdates: 1 });
  const follower = log.follower('f') as MemoryFollower;
  log.append(updates);
  await log.flush();
  return { log, follower };
}

async function append(log: MemoryLog, ...updates: Parameters<MemoryLog['append']>[0][number][]): Promise<void> {
  log.append(updates);
  await log.flush();
}

const told = (batch: UpdateBatch | undefined) =>
  batch?.updates.map(({ position, operation, key }) => `${position} ${operation} ${key}`);

describe('MemoryLog', () => {
  it('emits everything appended in one turn as one group', async () => {
    const log = new MemoryLog();
    const groups: number[][] = [];
    log.onCommit((updates) => groups.push(positions(updates)));
    log.append(someSets(2));
    log.append(someSets(1, 3));
    await log.flush();
    expect(groups).toEqual([[1, 2, 3]]);
  });

  it('continues when a listener throws, and reports the error', async () => {
    const errors: string[] = [];
    const log = new MemoryLog({ onError: (error) => errors.push(error.message) });
    let heard = 0;
    log.onCommit(() => {
      throw new Error('first');
    });
    log.onCommit(() => {
      heard += 1;
    });
    log.append(someSets(1));
    await log.flush();
    expect([log.committed, heard, errors]).toEqual([1, 1, ['first']]);
  });

  it('keeps within its bounds of updates and bytes', async () => {
    const few = new MemoryLog({ capacityUpdates: 10 });
    await append(few, ...someSets(25));
    expect(few.first).toBe(16);
    expect(positions(await all(few.read(16)))).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
    expect(() => few.read(15)).toThrow(expect.objectContaining({ code: 'POSITION_UNAVAILABLE' }));
    const small = new MemoryLog({ capacityBytes: 5 * (16 + 256) });
    await append(small, ...someSets(25));
    expect(small.first).toBe(21);
  });

  it('emits every update of a turn, although the ring has released most of them', async () => {
    const log = new MemoryLog({ capacityUpdates: 4 });
    const heard: number[] = [];
    log.onCommit((updates) => heard.push(...positions(updates)));
    for (const update of someSets(30)) log.append([update]);
    expect(log.first).toBe(27);
    await log.flush();
    expect(heard).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
  });

  it('refuses a capacity of 0', () => {
    expect(() => new MemoryLog({ capacityUpdates: 0 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('starts a new follower at the oldest update it holds', async () => {
    const log = new MemoryLog({ capacityUpdates: 3 });
    await append(log, ...someSets(10));
    expect(log.follower('f').checkpoint).toBe(7);
  });
});

describe('a follower that falls behind the ring', () => {
  for (const capacityUpdates of [1, 3]) {
    it(`gets an operation whole, with ${capacityUpdates} updates in the ring`, async () => {
      const log = new MemoryLog({ capacityUpdates });
      const follower = log.follower('f');
      const part = (version: number) => ({ ...aSet('m', version), operationId: 'move' });
      log.append([aSet('n', 1)]);
      log.together(() => {
        log.append([part(1)]);
        log.append([part(2), part(3)]);
      });
      log.append([aSet('n', 2)]);
      await log.flush();
      const got: number[][] = [];
      for (let batch = await follower.read(3); batch !== undefined; batch = await follower.read(3)) {
        got.push(batch.updates.map(({ position }) => position));
        await follower.save(batch.through);
      }
      expect(got).toEqual([[1], [2, 3, 4], [5]]);
    });
  }

  it('receives the drop of a namespace of which it has received a part', async () => {
    const { log, follower } = await narrow(aSet('n', 1, 'x'), del(2, 'x'), aSet('n', 3, 'y'));
    await follower.save((await follower.read(9))?.through ?? 0);
    const drop = createUpdate({ namespace: 'n', version: 4, operation: 'clear_namespace', at: 1, drop: true });
    await append(log, drop, aSet('other', 1));
    expect(told(await follower.read(9))).toEqual(['4 clear_namespace null', '5 set k1']);
  });

  it('receives the last update of every key, and the number it missed', async () => {
    const { follower } = await narrow(aSet('n', 1, 'x'), aSet('n', 2, 'y'), aSet('n', 3, 'x'), aSet('n', 4, 'z'));
    const batch = await follower.read(10);
    expect(told(batch)).toEqual(['2 set y', '3 set x', '4 set z']);
    expect([batch?.through, batch?.skipped]).toEqual([4, 1]);
  });

  it('receives nothing of a key that was added and removed', async () => {
    const { follower } = await narrow(aSet('n', 1, 'y'), aSet('n', 2, 'x'), del(3, 'x'), aSet('n', 4, 'z'));
    expect(told(await follower.read(10))).toEqual(['1 set y', '4 set z']);
    expect(follower.kept).toBe(1);
  });

  it('receives a namespace that exists, although all its keys were added and removed', async () => {
    const { follower } = await narrow(
      aSet('n', 1, 'x'),
      aSet('n', 2, 'y'),
      del(3, 'x'),
      del(4, 'y'),
      aSet('m', 1, 'z'),
    );
    expect(told(await follower.read(10))).toEqual(['4 delete y', '5 set z']);
    const clear = createUpdate({ namespace: 'n', version: 2, operation: 'clear_namespace', at: 1 });
    const cleared = await narrow(aSet('n', 1, 'x'), clear, aSet('m', 1, 'z'));
    expect(told(await cleared.follower.read(10))).toEqual(['2 clear_namespace null', '3 set z']);
  });

  it('receives the removal of a key that it has received, saved or not', async () => {
    const { log, follower } = await narrow(aSet('n', 1, 'x'), aSet('n', 2, 'y'));
    expect(told(await follower.read(1))).toEqual(['1 set x']);
    await append(log, del(3, 'x'), aSet('n', 4, 'z'));
    expect(told(await follower.read(10))).toEqual(['2 set y', '3 delete x', '4 set z']);
  });

  it('receives the removal of a key that a resync may have copied', async () => {
    const { log, follower } = await narrow(aSet('n', 1, 'x'), aSet('n', 2, 'y'));
    follower.expose(2);
    await append(log, del(3, 'x'), aSet('n', 4, 'z'));
    await follower.save(2);
    expect(told(await follower.read(10))).toEqual(['3 delete x', '4 set z']);
  });

  it('receives the value of a set with the expiry of the touch after it', async () => {
    const { follower } = await narrow(aSet('n', 1, 'x'), touch(2, 'x'), aSet('n', 3, 'z'));
    const [first] = (await follower.read(1))?.updates ?? [];
    expect(first).toEqual({
      ...aSet('n', 1, 'x'),
      ...{ position: 2, version: 2, expiresAt: 5000, at: 77, agent: 'toucher' },
    });
  });

  it('receives a clear before the keys that were set after it, and nothing from before', async () => {
    const { log, follower } = await narrow(aSet('n', 1, 'x'));
    await follower.save((await follower.read(9))?.through ?? 0);
    const clear = (version: number, drop: boolean) =>
      createUpdate({ namespace: 'n', version, operation: 'clear_namespace', at: 1, drop });
    await append(log, aSet('n', 2, 'y'), clear(3, false), aSet('n', 4, 'x'), clear(5, true), aSet('n', 1, 'a'));
    await append(log, aSet('n', 2, 'b'));
    expect(told(await follower.read(9))).toEqual(['5 clear_namespace null', '6 set a', '7 set b']);
  });

  it.each([0, 7])('receives nothing of a namespace that began above version %i and was dropped', async (floor) => {
    const log = new MemoryLog({ capacityUpdates: 1 });
    const follower = log.follower('f') as MemoryFollower;
    for (let i = 0; i < 100; i += 1) {
      const name = `run-${i}`;
      const version = floor + 2;
      const drop = createUpdate({ namespace: name, version, operation: 'clear_namespace', at: 1, drop: true });
      const set = aSet(name, floor + 1);
      await append(log, floor === 0 ? set : { ...set, begins: true }, drop);
    }
    // The ring still holds the removal of the last one.
    expect(follower.kept).toBe(1);
    expect(told(await follower.read(9))).toEqual([`199 set k${floor + 1}`, '200 clear_namespace null']);
  });

  it('reaches the end of the log, however few updates are left', async () => {
    const { log, follower } = await narrow(aSet('n', 1, 'x'), del(2, 'x'), aSet('n', 3, 'y'), del(4, 'y'));
    await append(log, ...[5, 6, 7].flatMap((n) => [aSet('n', n * 2 - 5, 'x'), del(n * 2 - 4, 'x')]));
    const batch = await follower.read(9);
    expect([told(batch), batch?.through, batch?.skipped]).toEqual([['9 set x', '10 delete x'], 10, 8]);
  });
});

/** A step: the cache writes, or its follower does something. */
interface Doing {
  readonly kind: 'read' | 'save' | 'resync';
  readonly limit: number;
}
type Move = Step | Doing;

const plans: fc.Arbitrary<Move[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: aStep(2) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('read' as const, 'read' as const, 'save' as const, 'resync' as const),
        limit: fc.integer({ min: 1, max: 5 }),
      }),
    },
  ),
  { maxLength: 80, size: 'max' },
);

describe('whatever the ring has released', () => {
  it('a follower that reads, fails and saves ends with the state of the cache, and little is kept for it', async () => {
    const scenario = fc.asyncProperty(plans, fc.integer({ min: 1, max: 6 }), async (plan, capacity) => {
      const run = new Run(capacity);
      for (const move of plan) await run.move(move);
      await run.finish();
      expect(run.destination.entries).toEqual(run.reference.entries);
      expect(run.destination.namespaces).toEqual(run.reference.namespaces);
    });
    await fc.assert(scenario, fcOptions(3000));
  });
});

class Run {
  readonly destination = new Destination();
  readonly reference = new Destination();
  readonly #cache = new Cache();
  readonly #log: MemoryLog;
  readonly #follower: MemoryFollower;
  readonly #given = new Set<string>();
  /** Number of keys, by position. */
  readonly #liveAfter = [0];
  /** Delivered and not saved: the follower may have failed just before. */
  #delivered: UpdateBatch | undefined;
  /** A resync in progress: the destination has its state, but the follower has not reported it yet. */
  #resyncing: number | undefined;

  constructor(capacityUpdates: number) {
    this.#log = new MemoryLog({ capacityUpdates });
    this.#follower = this.#log.follower('f') as MemoryFollower;
  }

  async move(move: Move): Promise<void> {
    if ('key' in move) await this.#append(move);
    else if (move.kind === 'resync') await this.#resync();
    else if (move.kind === 'save') await this.#save();
    else if (this.#resyncing === undefined) await this.#deliver(move.limit);
    this.#checkBound();
  }

  async finish(): Promise<void> {
    do {
      await this.#save();
      await this.#deliver(3);
    } while (this.#delivered !== undefined);
  }

  async #append(step: Step): Promise<void> {
    const updates = this.#cache.take(step);
    if (updates.length > 0) this.#liveAfter.push(this.#cache.size);
    this.reference.take(updates);
    this.#log.append(updates);
    await this.#log.flush();
  }

  async #deliver(limit: number): Promise<void> {
    const batch = await this.#follower.read(limit);
    this.#delivered = batch;
    if (batch === undefined) return;
    expect(batch.updates.length).toBeLessThanOrEqual(limit);
    expect(batch.through).toBeGreaterThan(this.#follower.checkpoint);
    expect(batch.through).toBeGreaterThanOrEqual(batch.updates.at(-1)?.position ?? 0);
    expect(batch.skipped).toBe(batch.through - this.#follower.checkpoint - batch.updates.length);
    this.destination.take(batch.updates);
    for (const update of batch.updates) this.#given.add(`${update.namespace}\0${update.key}`);
  }

  async #save(): Promise<void> {
    const position = this.#resyncing ?? this.#delivered?.through;
    if (position !== undefined) await this.#follower.save(position);
    this.#delivered = undefined;
    this.#resyncing = undefined;
  }

  async #resync(): Promise<void> {
    this.#resyncing = this.#log.head;
    this.#follower.expose(this.#log.head);
    this.destination.entries.clear();
    for (const [name, entry] of this.reference.entries) this.destination.entries.set(name, entry);
    this.destination.namespaces.clear();
    for (const name of this.reference.namespaces) this.destination.namespaces.add(name);
    for (const [name, state] of this.#cache.namespaces) {
      for (const key of state.entries.keys()) this.#given.add(`${name}\0${key}`);
    }
    // Everything in the ring counts as handed out as well, although some of it was removed before the capture.
    for (const { namespace, key } of await all(this.#log.read(this.#log.first)))
      this.#given.add(`${namespace}\0${key}`);
  }

  /** The overflow covers the time before the ring's first update. */
  #checkBound(): void {
    const live = this.#liveAfter[this.#log.first - 1] ?? 0;
    expect(this.#follower.kept).toBeLessThanOrEqual(live + this.#given.size + NAMESPACES.length);
  }
}
