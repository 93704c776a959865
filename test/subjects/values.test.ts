import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openedValue } from '../../src/core/opened.ts';
import { isSealed } from '../../src/core/sealed.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import {
  AgentContextCache,
  type CacheOptions,
  ContextCacheError,
  InMemoryContextCache,
  type JsonValue,
  memorySubjectKeys,
  type Update,
  type VersionConflictError,
} from '../../src/index.ts';
import { KeyRing } from '../../src/subjects/key-ring.ts';
import type { SubjectKey, SubjectKeyStore } from '../../src/types.ts';
import { all } from '../support/all.ts';
import { fcOptions } from '../support/property.ts';

/** Opens a cache with keys in memory. Ends with the test. */
function open(options: CacheOptions = {}, keys: SubjectKeyStore = memorySubjectKeys()): AgentContextCache {
  const cache = new AgentContextCache({ natsUrl: null, subjects: { keys }, onError: () => {}, ...options });
  onTestFinished(async () => void (await cache.shutdown({ timeoutMs: 100 })));
  return cache;
}

async function logOf(cache: AgentContextCache): Promise<Update[]> {
  return all(cache.readLog());
}

const ADDRESS = { street: 'Karl Johans gate 1', city: 'Oslo' };
const refused = (code: string) => expect.objectContaining({ code });

describe('values with subjects', () => {
  test('are the same for a handle that remembers what is read, also once they are forgotten', async () => {
    const cache = open();
    const handle = cache.as({ agent: 'planner' }, { basis: true });
    await cache.set('address', ADDRESS, 'trip', { subject: 'user-42' });
    await cache.set('other', ADDRESS, 'trip', { subject: 'user-43' });
    expect(handle.get('address', 'trip')).toEqual(ADDRESS);
    await cache.forget('user-42');
    for (const reader of [cache, handle]) {
      expect(reader.get('address', 'trip')).toBeUndefined();
      expect(reader.has('address', 'trip')).toBe(false);
      expect(reader.getMany(['address', 'other'], 'trip')).toEqual([undefined, ADDRESS]);
      expect(reader.entry('address', 'trip')?.forgotten).toEqual(['']);
    }
  });

  test('are read as they were written, and stored encrypted', async () => {
    const cache = open();
    await cache.set('address', ADDRESS, 'trip', { subject: 'user-42' });
    expect(cache.get('address', 'trip')).toEqual(ADDRESS);
    expect(Object.isFrozen(cache.get('address', 'trip'))).toBe(true);
    expect(cache.has('address', 'trip')).toBe(true);
    expect(cache.getMany(['address', 'none'], 'trip')).toEqual([ADDRESS, undefined]);
    expect(cache.entry('address', 'trip')).toMatchObject({ value: ADDRESS, version: 1 });
    expect(cache.entry('address', 'trip')).not.toHaveProperty('forgotten');
    const [update] = await logOf(cache);
    expect(isSealed(update?.value)).toBe(true);
    expect(JSON.stringify(update)).not.toContain('Karl');
    expect(JSON.stringify(update)).not.toContain('user-42');
  });

  test('keep what has no subject readable if paths are given', async () => {
    const cache = open();
    const value = { name: 'Ada', contact: { email: 'ada@example.org', tags: ['a', 'b'] }, 'a/b~c': 1 };
    const subjects = { '/contact/email': 'user-1', '/contact/tags/1': 'user-2', '/a~1b~0c': 'user-1' };
    await cache.set('person', value, 'trip', { subjects });
    expect(cache.get('person', 'trip')).toEqual(value);
    const [update] = await logOf(cache);
    expect(update?.value).toMatchObject({
      $sealed: { value: { name: 'Ada', contact: { email: null, tags: ['a', null] }, 'a/b~c': null } },
    });
  });

  test.each<[string, object]>([
    ['subject and subjects', { subject: 'a', subjects: { '/street': 'b' } }],
    ['an empty subject', { subject: '' }],
    ['a subject that is no text', { subject: 7 }],
    ['a long subject', { subject: 'x'.repeat(1025) }],
    ['a path that is no pointer', { subjects: { street: 'a' } }],
    ['a path with a bad escape', { subjects: { '/~2': 'a' } }],
    ['a path to nothing', { subjects: { '/streat': 'a' } }],
    ['a path inside another', { subjects: { '': 'a', '/street': 'b' } }],
    ['a list of paths', { subjects: ['/street'] }],
    ['ifDifferent', { subject: 'a', ifDifferent: true }],
  ])('refuse %s before anything has changed', async (_, options) => {
    const cache = open();
    await expect(cache.set('address', ADDRESS, 'trip', options)).rejects.toEqual(refused('INVALID_COMMAND'));
    await expect(cache.append(ADDRESS, 'trip', { subject: '' })).rejects.toEqual(refused('INVALID_COMMAND'));
    expect(cache.position).toBe(0);
    expect(await cache.subjects()).toEqual([]);
  });

  test('need the option subjects', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    await expect(cache.set('a', 1, 'trip', { subject: 'user' })).rejects.toEqual(refused('INVALID_OPTION'));
    await expect(cache.forget('user')).rejects.toEqual(refused('INVALID_OPTION'));
    await expect(cache.increment('a', 1, 'trip', { subject: 'user' } as never)).rejects.toEqual(
      refused('INVALID_OPTION'),
    );
    await cache.shutdown();
  });

  test('a value of the user that looks sealed comes back as it was, with and without keys', async () => {
    const inner = { $sealed: { value: null, parts: [['', 'id', 1, 'data']] } };
    for (const cache of [open(), new AgentContextCache({ natsUrl: null })]) {
      for (const value of [inner, { $sealed: { value: inner, parts: [] } }, { $sealed: 1 }, { ...inner, more: 1 }]) {
        await cache.set('a', value, 'trip');
        expect(cache.get('a', 'trip')).toEqual(value);
        await cache.batch([{ operation: 'set', key: 'a', value }], 'trip');
        expect(cache.entry('a', 'trip')?.value).toEqual(value);
        const { key } = await cache.append(value, 'trip');
        expect(cache.get(key, 'trip')).toEqual(value);
        expect(await cache.getOrSet(`${key}-made`, () => value as never, 'trip')).toEqual(value);
      }
      await cache.shutdown();
    }
    const cache = open();
    await cache.set('a', inner, 'trip', { subject: 'user' });
    expect(cache.get('a', 'trip')).toEqual(inner);
  });

  test('are written by every command that stores a value', async () => {
    const cache = open();
    const subject = 'user-42';
    const { key } = await cache.append('appended', 'trip', { subject, prefix: 'm:' });
    await cache.setMany({ one: 'many' }, 'trip', { subject });
    await cache.batch([{ operation: 'set', key: 'two', value: 'batch', subject }], 'trip');
    await cache.transaction([{ operation: 'set', namespace: 'trip', key: 'three', value: 'transaction', subject }]);
    await cache.transact(async (tx) => {
      expect(await tx.get('three', 'trip')).toBe('transaction');
      tx.set('four', 'transact', 'trip', { subject });
    });
    expect(await cache.getOrSet('five', () => 'made', 'trip', { subject })).toBe('made');
    expect(await cache.getOrSet('five', () => 'again', 'trip', { subject })).toBe('made');
    expect((await cache.update('six', () => 'updated', 'trip', { subject })).value).toBe('updated');
    await cache.ask({ type: 'context.set', namespace: 'trip', key: 'seven', value: 'asked', subject });
    await cache.namespace('trip').set('eight', 'handle', { subject });
    await cache.as({ agent: 'planner' }).set('nine', 'as', 'trip', { subject });
    const values = [...cache.entries('trip', {})].map(({ value }) => value);
    expect(values.sort()).toEqual(
      ['appended', 'many', 'batch', 'transaction', 'transact', 'made', 'updated', 'asked', 'handle', 'as'].sort(),
    );
    expect(cache.get(key, 'trip')).toBe('appended');
    const log = await logOf(cache);
    expect(log).toHaveLength(10);
    expect(log.every(({ value }) => isSealed(value))).toBe(true);
    expect((await cache.forget(subject)).entries).toBe(10);
  });

  test('an update keeps the subjects, and drops those of paths that are gone', async () => {
    const cache = open();
    await cache.set('a', { email: 'x', phone: 'y', n: 1 }, 'trip', { subjects: { '/email': 'u', '/phone': 'v' } });
    await cache.update('a', (value) => ({ ...(value as object), n: 2 }), 'trip');
    expect((await logOf(cache)).at(-1)?.value).toMatchObject({
      $sealed: { value: { email: null, phone: null, n: 2 } },
    });
    await cache.forget('u');
    const { value, entry } = await cache.update('a', (before) => ({ ...(before as object), n: 3 }), 'trip');
    expect(value).toEqual({ email: null, phone: 'y', n: 3 });
    expect(entry).not.toHaveProperty('forgotten');
    const { phone: _, ...rest } = value as { phone: string };
    await cache.update('a', () => rest, 'trip');
    expect((await logOf(cache)).at(-1)?.value).toEqual({ email: null, n: 3 });
  });

  test('an update of a forgotten value is refused unless it names another subject', async () => {
    const cache = open();
    await cache.set('a', 1, 'trip', { subject: 'u' });
    await cache.forget('u');
    const seen: unknown[] = [];
    const change = (value: unknown) => {
      seen.push(value);
      return 2;
    };
    await expect(cache.update('a', change, 'trip')).rejects.toEqual(refused('SUBJECT_FORGOTTEN'));
    expect((await cache.update('a', change, 'trip', { subject: 'w' })).value).toBe(2);
    expect(seen).toEqual([undefined, undefined]);
  });

  test('cannot be incremented', async () => {
    const cache = open();
    await cache.set('n', 1, 'trip', { subject: 'u' });
    await expect(cache.increment('n', 1, 'trip')).rejects.toThrow('encrypted');
    expect((await cache.update('n', (n) => Number(n) + 1, 'trip')).value).toBe(2);
  });

  test('a schema checks them before they are encrypted', async () => {
    const text = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) =>
          typeof value === 'string' ? { value: value.trim() } : { issues: [{ message: 'no text' }] },
      },
    };
    const cache = open({ schemas: { notes: text } });
    await cache.set('a', ' x ', 'notes', { subject: 'u' });
    expect(cache.get('a', 'notes')).toBe('x');
    const { key } = await cache.append(' y ', 'notes', { subject: 'u' });
    expect(cache.get(key, 'notes')).toBe('y');
    await expect(cache.set('b', 1 as never, 'notes', { subject: 'u' })).rejects.toEqual(refused('SCHEMA_MISMATCH'));
    await expect(cache.append(1 as never, 'notes', { subject: 'u' })).rejects.toEqual(refused('SCHEMA_MISMATCH'));
  });

  test('expire, and touch keeps them', async () => {
    const cache = open();
    await cache.set('a', 'secret', 'trip', { subject: 'u', ttl: '1h' });
    await cache.touch('a', 'trip', { expiresAt: null });
    expect(cache.entry('a', 'trip')).toMatchObject({ value: 'secret', expiresAt: null });
  });

  test('a repeated operation is recognized', async () => {
    const cache = open();
    const options = { subject: 'u', operationId: 'op-1' };
    const first = await cache.set('a', { secret: 1 }, 'trip', options);
    expect(await cache.set('a', { secret: 1 }, 'trip', options)).toEqual(first);
    await expect(cache.set('a', { secret: 2 }, 'trip', options)).rejects.toEqual(refused('OPERATION_REUSED'));
    const many = [{ operation: 'set' as const, namespace: 'trip', key: 'b', value: 'x', subject: 'u' }];
    const done = await cache.transaction(many, { operationId: 'op-2' });
    expect(await cache.transaction(many, { operationId: 'op-2' })).toEqual(done);
  });

  test('the same value is never encrypted to the same bytes without an operation id', async () => {
    const cache = open();
    await cache.set('a', 'x', 'trip', { subject: 'u' });
    await cache.set('a', 'x', 'trip', { subject: 'u' });
    const [one, two] = await logOf(cache);
    expect(one?.value).not.toEqual(two?.value);
  });

  test('a conflict shows the present entry in plain', async () => {
    const cache = open();
    await cache.set('a', 'secret', 'trip', { subject: 'u' });
    const conflicts = [
      cache.set('a', 1, 'trip', { ifVersion: 0 }),
      cache.transaction([{ operation: 'set', namespace: 'trip', key: 'a', value: 1, ifAbsent: true }]),
    ];
    for (const conflict of conflicts) {
      const error = (await conflict.catch((thrown) => thrown)) as VersionConflictError;
      expect(error.current?.value).toBe('secret');
    }
  });

  test('what was moved to another key, or changed, is not read', async () => {
    const cache = open();
    await cache.set('a', 'secret', 'trip', { subject: 'u' });
    const [update] = await logOf(cache);
    const { subjects } = cache[INTERNALS].parts;
    const sealed = update?.value as never;
    expect(subjects.open('trip', 'a', sealed)).toEqual({ value: 'secret' });
    expect(subjects.open('trip', 'b', sealed)).toEqual({ value: null, sealed: [''] });
    expect(subjects.open('other', 'a', sealed)).toEqual({ value: null, sealed: [''] });
  });

  test('over a primary of the user’s own are encrypted there too', async () => {
    const primaryCache = new InMemoryContextCache();
    const cache = open({ primaryCache });
    await cache.set('a', 'secret', 'trip', { subject: 'u' });
    expect(JSON.stringify(primaryCache.get('a', 'trip'))).toContain('$sealed');
    expect(cache.get('a', 'trip')).toBe('secret');
    expect(cache.entries('trip')).toMatchObject([{ value: 'secret' }]);
    await cache.forget('u');
    expect(cache.get('a', 'trip')).toBeUndefined();
    expect(cache.entry('a', 'trip')).toMatchObject({ value: null, forgotten: [''] });
  });

  test('wait for a key store that answers with promises', async () => {
    const keys = memorySubjectKeys();
    const slow: SubjectKeyStore = {
      keyFor: async (subject) => keys.keyFor(subject),
      find: async (id) => keys.find(id),
      destroy: async (subject) => keys.destroy(subject),
      list: async () => keys.list(),
    };
    const cache = open({}, slow);
    await Promise.all(['a', 'b'].map((key) => cache.set(key, key, 'trip', { subject: `of ${key}` })));
    await cache.transaction([{ operation: 'set', namespace: 'trip', key: 'c', value: 'c', subject: 'of c' }]);
    await cache.ask({ type: 'context.set', namespace: 'trip', key: 'd', value: 'd', subject: 'of d' });
    expect((await cache.update('e', () => 'e', 'trip', { subject: 'of e' })).value).toBe('e');
    expect(cache.getMany(['a', 'b', 'c', 'd'], 'trip')).toEqual(['a', 'b', 'c', 'd']);
    await cache.forget('of a');
    expect(cache.get('a', 'trip')).toBeUndefined();
    await expect(cache.set('a', 'a', 'trip', { subject: 'of a' })).rejects.toEqual(refused('SUBJECT_FORGOTTEN'));
  });

  test.each<[string, (key: SubjectKey) => SubjectKey]>([
    ['another subject', (key) => ({ ...key, subject: 'other' })],
    ['no secret', ({ id, subject }) => ({ id, subject }) as SubjectKey],
  ])('are refused, not tried for ever, if the store answers later with a key of %s', async (_, spoilt) => {
    const keys = memorySubjectKeys();
    let asked = 0;
    const keyFor = async (subject: string) => {
      asked += 1;
      if (asked > 20) throw new Error('asked again and again');
      return spoilt(await keys.keyFor(subject));
    };
    const cache = open({}, { ...keys, keyFor });
    await expect(cache.set('a', 'a', 'trip', { subject: 'u' })).rejects.toEqual(refused('KEY_UNAVAILABLE'));
    await expect(cache.update('a', () => 1, 'trip', { subject: 'u' })).rejects.toEqual(refused('KEY_UNAVAILABLE'));
  });

  test('are refused, not tried for ever, if the store answers later with a key that was forgotten', async () => {
    const keys = memorySubjectKeys();
    let asked = 0;
    const keyFor = async (subject: string) => {
      asked += 1;
      if (asked > 20) throw new Error('asked again and again');
      return keys.keyFor(subject);
    };
    const store = { ...keys, keyFor };
    const cache = open({}, store);
    KeyRing.of(store).forget([(await keys.keyFor('u')).id]);
    await expect(cache.set('a', 'a', 'trip', { subject: 'u' })).rejects.toEqual(refused('SUBJECT_FORGOTTEN'));
  });

  test('that cannot be read say why the store of keys did not answer, which is reported', async () => {
    const keys = memorySubjectKeys();
    const reported: unknown[] = [];
    const failure = new Error('KMS: access denied');
    const failing = { isFailing: true };
    const find = async (id: string) => {
      if (failing.isFailing) throw failure;
      return keys.find(id);
    };
    const writer = open({}, keys);
    await writer.set('a', 'secret', 'trip', { subject: 'u' });
    const reader = open({ onError: (error) => void reported.push(error) }, { ...keys, find });
    const [update] = await logOf(writer);
    const door = reader[INTERNALS].parts.subjects;
    const read = () => openedValue(door, 'trip', 'a', update?.value);
    expect(read).toThrow(refused('KEY_UNAVAILABLE'));
    await Promise.resolve().then(() => new Promise(setImmediate));
    expect(read).toThrow(expect.objectContaining({ code: 'KEY_UNAVAILABLE', cause: failure }));
    expect(reported).toEqual([failure]);
    failing.isFailing = false;
    await new Promise(setImmediate);
    expect(read).toThrow(refused('KEY_UNAVAILABLE'));
    await new Promise(setImmediate);
    expect(read()).toBe('secret');
  });

  test('random values with random paths come back, and only their parts are lost', async () => {
    const cache = open();
    const leaf = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.constant(null), fc.boolean());
    const value = fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 5 }), leaf, {
      minKeys: 1,
      maxKeys: 6,
      noNullPrototype: true,
    });
    let n = 0;
    await fc.assert(
      fc.asyncProperty(value, fc.infiniteStream(fc.boolean()), async (object, chosen) => {
        n += 1;
        const pointerOf = (name: string) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
        const names = Object.keys(object).filter((name) => name !== '__proto__' && chosen.next().value);
        const given = Object.fromEntries(Object.entries(object).filter(([name]) => name !== '__proto__'));
        if (Object.keys(given).length === 0) return;
        const subjects = Object.fromEntries(names.map((name) => [pointerOf(name), `u-${n}`]));
        await cache.set('a', given, 'trip', { subjects });
        const read = cache.get('a', 'trip') as Record<string, JsonValue>;
        expect(read).toEqual(given);
        expect(Object.keys(read)).toEqual(Object.keys(given));
        if (names.length === 0) return;
        await cache.forget(`u-${n}`);
        const left = Object.fromEntries(
          Object.entries(given).map(([name, each]) => [name, names.includes(name) ? null : each]),
        );
        expect(cache.entry('a', 'trip')).toMatchObject({ value: left, forgotten: names.map(pointerOf) });
      }),
      fcOptions(60),
    );
  });
});

describe('a namespace of records', () => {
  test('is written by forget alone', async () => {
    const cache = open();
    await cache.set('a', 1, 'trip', { subject: 'u' });
    await cache.forget('u', { reason: 'asked', agent: 'clerk' });
    const writes = [
      () => cache.set('u', 1, '$forgotten'),
      () => cache.delete('u', '$forgotten'),
      () => cache.append(1, '$forgotten'),
      () => cache.increment('u', 1, '$forgotten'),
      () => cache.touch('u', '$forgotten', { ttl: 1 }),
      () => cache.clearNamespace('$forgotten'),
      () => cache.dropNamespace('$forgotten'),
      () => cache.batch([{ operation: 'delete', key: 'u' }], '$forgotten'),
      () => cache.transaction([{ namespace: '$forgotten', operation: 'delete', key: 'u' }]),
    ];
    for (const write of writes) await expect(write()).rejects.toBeInstanceOf(ContextCacheError);
    expect(cache.entry('u', '$forgotten')).toMatchObject({ value: { reason: 'asked' }, agent: 'clerk', version: 1 });
  });
});
