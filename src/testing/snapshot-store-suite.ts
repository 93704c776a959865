import assert from 'node:assert/strict';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';

/** A store under test. */
export interface StoreUnderTest {
  /** New and empty. The suite closes it. */
  readonly store: SnapshotStore;
  /** Another store on what `store` has kept; absent where it keeps nothing beyond itself. The suite closes it. */
  readonly reopen?: () => SnapshotStore | Promise<SnapshotStore>;
}

/** What the suite needs. */
export interface SnapshotStoreSuiteOptions {
  /** `test` or `it` of the test runner. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Called for each test. */
  readonly open: () => StoreUnderTest | Promise<StoreUnderTest>;
}

const bytesOf = (...values: number[]) => Uint8Array.from(values);

/**
 * What every `SnapshotStore` must do, as tests for any runner.
 *
 * @example
 * ```ts
 * import { describe, test } from 'vitest';
 * describe('MyStore', () => snapshotStoreSuite({ test, open: () => ({ store: new MyStore() }) }));
 * ```
 */
export function snapshotStoreSuite({ test, open }: SnapshotStoreSuiteOptions): void {
  const check = (name: string, run: (store: SnapshotStore, place: StoreUnderTest) => Promise<void>) =>
    test(name, async () => {
      const place = await open();
      try {
        await run(place.store, place);
      } finally {
        await place.store.close();
      }
    });
  blobs(check);
  names(check);
  refusals(check);
}

type Check = (name: string, run: (store: SnapshotStore, place: StoreUnderTest) => Promise<void>) => unknown;

function blobs(check: Check): void {
  check('a new store is empty', async (store) => {
    assert.equal(await store.get('a'), undefined);
    assert.deepEqual(await store.list(''), []);
    assert.deepEqual(await store.has(['a', 'b']), [false, false]);
    assert.deepEqual(await store.has([]), []);
    assert.ok(store.description.length > 0);
  });

  check('a blob comes back byte for byte, an empty one included', async (store) => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    await store.put('all', all);
    await store.put('none', bytesOf());
    assert.deepEqual(await read(store, 'all'), [...all]);
    assert.deepEqual(await read(store, 'none'), []);
    assert.deepEqual(await store.has(['none', 'some', 'all']), [true, false, true]);
  });

  check('a large blob comes back', async (store) => {
    const large = new Uint8Array(3 * 1024 * 1024).map((_, index) => (index * 31) % 251);
    await store.put('large', large);
    const back = await store.get('large');
    assert.ok(back !== undefined && Buffer.compare(back, large) === 0);
  });

  check('a view into a larger buffer is stored as that view', async (store) => {
    await store.put('view', bytesOf(9, 1, 2, 3, 9).subarray(1, 4));
    assert.deepEqual(await read(store, 'view'), [1, 2, 3]);
  });

  check('a put replaces the blob of that name', async (store) => {
    await store.put('a', bytesOf(1, 2, 3));
    await store.put('a', bytesOf(4));
    assert.deepEqual(await read(store, 'a'), [4]);
    assert.deepEqual(await store.list(''), ['a']);
  });

  check('what the caller does to its bytes afterwards changes nothing', async (store) => {
    const mine = bytesOf(1, 2, 3);
    await store.put('a', mine);
    mine.fill(9);
    const first = await store.get('a');
    first?.fill(8);
    assert.deepEqual(await read(store, 'a'), [1, 2, 3]);
  });

  check('many puts at once all arrive', async (store) => {
    const many = Array.from({ length: 40 }, (_, index) => index);
    await Promise.all(many.map((index) => store.put(`n-${String(index).padStart(2, '0')}`, bytesOf(index))));
    assert.equal((await store.list('n-')).length, 40);
    for (const index of many) assert.deepEqual(await read(store, `n-${String(index).padStart(2, '0')}`), [index]);
  });

  check('another store on the same place finds what was put', async (store, { reopen }) => {
    if (reopen === undefined) return;
    await store.put('a', bytesOf(1));
    await store.close();
    const again = await reopen();
    try {
      assert.deepEqual(await read(again, 'a'), [1]);
      assert.deepEqual(await again.list(''), ['a']);
    } finally {
      await again.close();
    }
  });
}

function names(check: Check): void {
  check('names are listed by prefix, sorted', async (store) => {
    for (const name of ['b-2', 'a', 'b-10', 'B-1', 'b', 'c.1', '_', 'b.9']) await store.put(name, bytesOf(1));
    assert.deepEqual(await store.list('b-'), ['b-10', 'b-2']);
    assert.deepEqual(await store.list('b'), ['b', 'b-10', 'b-2', 'b.9']);
    assert.deepEqual(await store.list(''), ['B-1', '_', 'a', 'b', 'b-10', 'b-2', 'b.9', 'c.1']);
    assert.deepEqual(await store.list('nothing'), []);
  });

  check('a prefix means itself, not a pattern', async (store) => {
    for (const name of ['a.b', 'axb', 'a-b']) await store.put(name, bytesOf(1));
    assert.deepEqual(await store.list('a.'), ['a.b']);
  });

  check('names of every allowed kind are kept apart', async (store) => {
    const awkward = ['.', '..', '-', '_', '.hidden', 'a.', 'index', '__proto__', 'constructor', 'z'.repeat(128)];
    for (const [index, name] of awkward.entries()) await store.put(name, bytesOf(index));
    for (const [index, name] of awkward.entries()) assert.deepEqual(await read(store, name), [index]);
    assert.deepEqual(await store.list(''), [...awkward].sort());
  });

  check('removing takes the named blobs and no others; a missing one is fine', async (store) => {
    for (const name of ['a', 'b', 'c']) await store.put(name, bytesOf(1));
    await store.remove(['a', 'never', 'c']);
    await store.remove([]);
    assert.deepEqual(await store.list(''), ['b']);
    assert.equal(await store.get('a'), undefined);
    assert.deepEqual(await store.has(['a', 'b', 'c']), [false, true, false]);
  });

  check('more than a thousand names are listed, found and removed', async (store) => {
    const many = Array.from({ length: 1_100 }, (_, index) => `many-${String(index).padStart(4, '0')}`);
    for (let start = 0; start < many.length; start += 50) {
      await Promise.all(many.slice(start, start + 50).map((name) => store.put(name, bytesOf(1))));
    }
    assert.deepEqual(await store.list('many-'), many);
    assert.ok((await store.has(many)).every(Boolean));
    await store.remove(many.slice(1));
    assert.deepEqual(await store.list(''), ['many-0000']);
  });
}

function refusals(check: Check): void {
  for (const name of ['', 'a/b', '../a', 'a b', 'ä', 'a:b', 'a\0', 'z'.repeat(129)]) {
    check(`the name ${JSON.stringify(name.slice(0, 10))} is refused`, async (store) => {
      const invalid = { code: 'INVALID_NAME' };
      await assert.rejects(async () => store.put(name, bytesOf(1)), invalid);
      await assert.rejects(async () => store.get(name), invalid);
      await assert.rejects(async () => store.has([name]), invalid);
      await assert.rejects(async () => store.remove([name]), invalid);
      assert.deepEqual(await store.list(''), []);
    });
  }

  check('nothing is done under a signal that has been aborted', async (store) => {
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(async () => store.put('a', bytesOf(1), signal), /enough/);
    await assert.rejects(async () => store.get('a', signal), /enough/);
    await assert.rejects(async () => store.list('', signal), /enough/);
    await assert.rejects(async () => store.remove(['a'], signal), /enough/);
    assert.deepEqual(await store.list(''), []);
  });

  check('closing twice is fine, and a closed store refuses', async (store) => {
    await store.put('a', bytesOf(1));
    await store.close();
    await store.close();
    await assert.rejects(async () => store.get('a'), { code: 'CLOSED' });
    await assert.rejects(async () => store.put('a', bytesOf(1)), { code: 'CLOSED' });
  });
}

async function read(store: SnapshotStore, name: string): Promise<number[] | undefined> {
  const bytes = await store.get(name);
  return bytes === undefined ? undefined : [...bytes];
}
