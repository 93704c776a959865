import assert from 'node:assert/strict';
import type { SubjectKey, SubjectKeyStore } from '../subjects/subject-keys.ts';

/** A store of keys under test. */
export interface SubjectKeysUnderTest {
  /** New and empty. */
  readonly store: SubjectKeyStore;
  /** Opens another store on the same keys. Absent if they do not outlive the store. */
  readonly reopen?: () => SubjectKeyStore | Promise<SubjectKeyStore>;
}

/** Options of {@link subjectKeysSuite}. */
export interface SubjectKeysSuiteOptions {
  /** `test` or `it` of the test runner. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Opens a store. Called for each test. */
  readonly open: () => SubjectKeysUnderTest | Promise<SubjectKeysUnderTest>;
}

const FORGOTTEN = { code: 'SUBJECT_FORGOTTEN' };

/**
 * Defines the tests that every store of subjects' keys must pass, for any test runner.
 *
 * @example
 * ```ts
 * import { describe, test } from 'vitest';
 * describe('KmsKeys', () => subjectKeysSuite({ test, open: () => ({ store: new KmsKeys() }) }));
 * ```
 */
export function subjectKeysSuite({ test, open }: SubjectKeysSuiteOptions): void {
  const check = (name: string, run: (keys: SubjectKeysUnderTest) => Promise<void>) =>
    test(name, async () => run(await open()));

  check('knows no subject when new', async ({ store }) => {
    assert.deepEqual(await store.list(), []);
    assert.equal(await store.find('none'), undefined);
    assert.equal(await store.destroy('nobody'), undefined);
    assert.deepEqual(await store.list(), []);
  });

  check('gives a subject one key of 32 random bytes, also to concurrent callers', async ({ store }) => {
    const [first, second, other] = await Promise.all(['a', 'a', 'b'].map(async (subject) => store.keyFor(subject)));
    assert.ok(first !== undefined && second !== undefined && other !== undefined);
    assert.deepEqual(copyOf(first), copyOf(second));
    assert.equal(first.subject, 'a');
    assert.equal(first.secret.length, 32);
    assert.notEqual(other.id, first.id);
    assert.notDeepEqual([...other.secret], [...first.secret]);
    assert.deepEqual(copyOf((await store.find(first.id)) as SubjectKey), copyOf(first));
  });

  check('lists subjects with their keys', async ({ store }) => {
    const { id } = await store.keyFor('a');
    await store.keyFor('b');
    const records = [...(await store.list())].sort((a, b) => (a.subject < b.subject ? -1 : 1));
    assert.deepEqual(
      records.map(({ subject, forgottenAt }) => [subject, forgottenAt]),
      [
        ['a', null],
        ['b', null],
      ],
    );
    assert.equal(records[0]?.id, id);
    assert.ok((records[0]?.createdAt ?? 0) > 0);
  });

  check('destroys a key for good, keeps its record, and leaves the others', async ({ store }) => {
    const { id } = await store.keyFor('a');
    const other = copyOf(await store.keyFor('b'));
    const record = await store.destroy('a');
    assert.ok(record !== undefined && record.forgottenAt !== null);
    assert.deepEqual(await store.destroy('a'), record);
    const found = await store.find(id);
    assert.deepEqual(found, record);
    assert.ok(found !== undefined && !('secret' in found));
    await assert.rejects(async () => store.keyFor('a'), FORGOTTEN);
    assert.deepEqual(copyOf(await store.keyFor('b')), other);
  });

  for (const subject of ['ä 🦊', '"\n\\', '__proto__', 'x'.repeat(1024)]) {
    check(`keeps the subject ${JSON.stringify(subject.slice(0, 12))}`, async ({ store }) => {
      const key = copyOf(await store.keyFor(subject));
      assert.deepEqual(copyOf((await store.find(key.id)) as SubjectKey), key);
      assert.deepEqual(
        (await store.list()).map((record) => record.subject),
        [subject],
      );
    });
  }

  check('another store on the same keys has them, and those that were destroyed', async ({ store, reopen }) => {
    if (reopen === undefined) return;
    const kept = copyOf(await store.keyFor('kept'));
    const { id } = await store.keyFor('gone');
    const record = await store.destroy('gone');
    const again = await reopen();
    assert.deepEqual(copyOf(await again.keyFor('kept')), kept);
    assert.deepEqual(await again.find(id), record);
    await assert.rejects(async () => again.keyFor('gone'), FORGOTTEN);
  });
}

/** A destroyed key is overwritten, so what is compared later must be copied. */
function copyOf({ id, subject, secret }: SubjectKey): {
  readonly id: string;
  readonly subject: string;
  readonly secret: readonly number[];
} {
  return { id, subject, secret: [...secret] };
}
