import assert from 'node:assert/strict';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';

/** A store under test. */
export interface StoreUnderTest {
  /** New and empty. The suite closes it. */
  readonly store: SnapshotStore;
  /** Opens another store on the same data. Absent if the data does not outlive the store. The suite closes it. */
  readonly reopen?: () => SnapshotStore | Promise<SnapshotStore>;
}

/** Options of {@link snapshotStoreSuite}. */
export interface SnapshotStoreSuiteOptions {
  /** `test` or `it` of the test runner. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Opens a store. Called for each test. */
  readonly open: () => StoreUnderTest | Promise<StoreUnderTest>;
}

const bytesOf = (...values: number[]) => Uint8Array.from(values);

/**
 * Defines the tests that every `SnapshotStore` must pass, for any test runner.
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
  check('is empty when new', async (store) => {
    assert.equal(await store.get('a'), undefined);
    assert.deepEqual(await store.list(''), []);
    assert.deepEqual(await store.has(['a', 'b']), [false, false]);
    assert.deepEqual(await store.has([]), []);
    assert.ok(store.description.length > 0);
  });

  check('returns a blob byte for byte, including an empty one', async (store) => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    await store.put('all', all);
    await store.put('none', bytesOf());
    assert.deepEqual(await read(store, 'all'), [...all]);
    assert.deepEqual(await read(store, 'none'), []);
    assert.deepEqual(await store.has(['none', 'some', 'all']), [true, false, true]);
  });

  check('returns a large blob', async (store) => {
    const large = new Uint8Array(3 * 1024 * 1024).map((_, index) => (index * 31) % 251);
    await store.put('large', large);
    const back = await store.get('large');
    assert.ok(back !== undefined && Buffer.compare(back, large) === 0);
  });

  check('stores only the viewed part of a larger buffer', async (store) => {
    await store.put('view', bytesOf(9, 1, 2, 3, 9).subarray(1, 4));
    assert.deepEqual(await read(store, 'view'), [1, 2, 3]);
  });

  check('replaces the blob of the same name', async (store) => {
    await store.put('a', bytesOf(1, 2, 3));
    await store.put('a', bytesOf(4));
    assert.deepEqual(await read(store, 'a'), [4]);
    assert.deepEqual(await store.list(''), ['a']);
  });

  check('is not affected when the caller changes its bytes afterwards', async (store) => {
    const mine = bytesOf(1, 2, 3);
    await store.put('a', mine);
    mine.fill(9);
    const first = await store.get('a');
    first?.fill(8);
    assert.deepEqual(await read(store, 'a'), [1, 2, 3]);
  });

  check('stores many concurrent puts', async (store) => {
    const many = Array.from({ length: 40 }, (_, index) => index);
    await Promise.all(many.map((index) => store.put(`n-${String(index).padStart(2, '0')}`, bytesOf(index))));
    assert.equal((await store.list('n-')).length, 40);
    for (const index of many) assert.deepEqual(await read(store, `n-${String(index).padStart(2, '0')}`), [index]);
  });

  check('another store on the same data finds what was put', async (store, { reopen }) => {
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
  check('lists names by prefix, sorted', async (store) => {
    for (const name of ['b-2', 'a', 'b-10', 'B-1', 'b', 'c.1', '_', 'b.9']) await store.put(name, bytesOf(1));
    assert.deepEqual(await store.list('b-'), ['b-10', 'b-2']);
    assert.deepEqual(await store.list('b'), ['b', 'b-10', 'b-2', 'b.9']);
    assert.deepEqual(await store.list(''), ['B-1', '_', 'a', 'b', 'b-10', 'b-2', 'b.9', 'c.1']);
    assert.deepEqual(await store.list('nothing'), []);
  });

  check('takes a prefix literally, not as a pattern', async (store) => {
    for (const name of ['a.b', 'axb', 'a-b']) await store.put(name, bytesOf(1));
    assert.deepEqual(await store.list('a.'), ['a.b']);
  });

  check('keeps names of every allowed kind apart', async (store) => {
    const awkward = ['.', '..', '-', '_', '.hidden', 'a.', 'index', '__proto__', 'constructor', 'z'.repeat(128)];
    for (const [index, name] of awkward.entries()) await store.put(name, bytesOf(index));
    for (const [index, name] of awkward.entries()) assert.deepEqual(await read(store, name), [index]);
    assert.deepEqual(await store.list(''), [...awkward].sort());
  });

  check('removes the named blobs and no others, and ignores missing ones', async (store) => {
    for (const name of ['a', 'b', 'c']) await store.put(name, bytesOf(1));
    await store.remove(['a', 'never', 'c']);
    await store.remove([]);
    assert.deepEqual(await store.list(''), ['b']);
    assert.equal(await store.get('a'), undefined);
    assert.deepEqual(await store.has(['a', 'b', 'c']), [false, true, false]);
  });

  check('lists, finds and removes more than a thousand names', async (store) => {
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
    check(`refuses the name ${JSON.stringify(name.slice(0, 10))}`, async (store) => {
      const invalid = { code: 'INVALID_NAME' };
      await assert.rejects(async () => store.put(name, bytesOf(1)), invalid);
      await assert.rejects(async () => store.get(name), invalid);
      await assert.rejects(async () => store.has([name]), invalid);
      await assert.rejects(async () => store.remove([name]), invalid);
      assert.deepEqual(await store.list(''), []);
    });
  }

  check('does nothing when its signal was aborted before', async (store) => {
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(async () => store.put('a', bytesOf(1), signal), /enough/);
    await assert.rejects(async () => store.get('a', signal), /enough/);
    await assert.rejects(async () => store.list('', signal), /enough/);
    await assert.rejects(async () => store.remove(['a'], signal), /enough/);
    assert.deepEqual(await store.list(''), []);
  });

  check('can be closed twice, and refuses calls when closed', async (store) => {
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
