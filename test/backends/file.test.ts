import { watch } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { FileContextCache } from '../../src/backends/file-context-cache.ts';
import { AWKWARD_KEYS, AWKWARD_NAMES, AWKWARD_VALUES, sameValue } from '../../src/testing/edge-cases.ts';
import { failureOf, never, updateAt } from '../support/backends.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually } from '../support/waiting.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await tempDir('file');
  path = join(directory, 'context.json');
});

const open = () => new FileContextCache({ path });
const readJson = async () => JSON.parse(await readFile(path, 'utf8'));

describe('the file', () => {
  it('is JSON that people can read', async () => {
    const cache = open();
    await cache.set('key', { a: [1, null] }, 'space');
    await cache.set('gone', 1, 'empty');
    await cache.clearNamespace('empty');
    await cache.resetPosition('log', 3, never);
    expect(await readJson()).toEqual({
      format: 'agent-context-cache file 1',
      namespaces: { space: { key: { a: [1, null] } }, empty: {} },
      positions: { log: 3 },
    });
  });

  it('can be read by its owner only, and is all that is left in its directory', async () => {
    path = join(directory, 'new', 'deep', 'context.json');
    const cache = open();
    await Promise.all([cache.set('a', 1, 'space'), cache.set('b', 2, 'space')]);
    await cache.close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(directory, 'new', 'deep'))).toEqual(['context.json']);
  });

  it('is not made by reading, nor by what changes nothing', async () => {
    const cache = open();
    await cache.get('key', 'space');
    await cache.listKeys('space');
    await cache.listNamespaces();
    await cache.delete('key', 'space');
    await cache.clearNamespace('space');
    await cache.dropNamespace('space');
    await cache.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it('has a change when its call resolves', async () => {
    const cache = open();
    for (const value of [1, 2, 3]) {
      await cache.set('key', value, 'space');
      expect((await readJson()).namespaces.space.key).toBe(value);
    }
    await cache.delete('key', 'space');
    expect((await readJson()).namespaces.space).toEqual({});
  });

  it('gives everything back to the next instance, whatever its name', async () => {
    const cache = open();
    const pairs = AWKWARD_NAMES.map((name, i) => [name, AWKWARD_VALUES[i % AWKWARD_VALUES.length] ?? null] as const);
    await Promise.all(pairs.map(([name, value]) => cache.set(name, value, name)));
    for (const key of AWKWARD_KEYS) await cache.set(key, 1, 'keys');
    await cache.resetPosition('__proto__', 5, never);
    await cache.close();
    const next = open();
    expect((await next.listNamespaces()).sort()).toEqual(['keys', ...AWKWARD_NAMES].sort());
    expect((await next.listKeys('keys')).sort()).toEqual([...AWKWARD_KEYS].sort());
    for (const [name, value] of pairs) sameValue(await next.get(name, name), value);
    expect(await next.appliedPosition('__proto__', never)).toBe(5);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('is replaced once for many calls that come together', async () => {
    const cache = open();
    await cache.set('first', 1, 'space');
    let replaced = 0;
    const watcher = watch(directory, (event, name) => {
      if (event === 'rename' && name === 'context.json') replaced += 1;
    });
    try {
      await Promise.all(Array.from({ length: 300 }, (_, i) => cache.set(`k${i}`, i, 'space')));
      await eventually(() => expect(replaced).toBeGreaterThan(0));
      expect(replaced).toBeLessThanOrEqual(3);
    } finally {
      watcher.close();
    }
    expect(Object.keys((await readJson()).namespaces.space)).toHaveLength(301);
  });
});

describe('a file that is not this cache’s', () => {
  const good = '{"format":"agent-context-cache file 1","namespaces":{"space":{"key":1}},"positions":{}}';

  it.each([
    ['empty', ''],
    ['cut short', good.slice(0, -3)],
    ['not an object', '[1]'],
    ['other JSON', '{"users":{"a":1}}'],
    ['of no format', good.replace('agent-context-cache file 1', 'mine')],
    ['with more in it', good.replace('{', '{"more":1,')],
    ['without namespaces', '{"format":"agent-context-cache file 1","positions":{}}'],
    ['with a namespace that is none', good.replace('{"key":1}', '[]')],
    ['with an empty name', good.replace('"space"', '""')],
    ['with a name that is not well-formed', good.replace('"key"', '"\\ud800"')],
    ['with a value that is not finite', good.replace('1}', '1e999}')],
    ['with a position that is none', good.replace('"positions":{}', '"positions":{"log":"x"}')],
    ['nested without end', good.replace('1}', `${'['.repeat(50_000)}${']'.repeat(50_000)}}`)],
    ['not UTF-8', Buffer.concat([Buffer.from(good.slice(0, -1)), Buffer.from([0xff, 0x7d])])],
  ])('(%s) is an error for every call and stays as it is', async (_what, content) => {
    await writeFile(path, content);
    const cache = open();
    const calls = [
      () => cache.get('key', 'space'),
      () => cache.set('secret-key', 1, 'space'),
      () => cache.listNamespaces(),
    ];
    for (const call of calls) {
      expect(await failureOf(call)).toMatchObject({ code: 'FILE_CORRUPT', message: expect.stringContaining(path) });
    }
    await cache.close();
    expect(await readFile(path)).toEqual(Buffer.from(content));
    expect(await readdir(directory)).toEqual(['context.json']);
  });

  it('because a later version wrote it, says so', async () => {
    await writeFile(path, good.replace('file 1', 'file 2'));
    expect(await failureOf(() => open().get('key', 'space'))).toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
  });

  it('is read once it has been mended', async () => {
    await writeFile(path, 'broken');
    const cache = open();
    await failureOf(() => cache.get('key', 'space'));
    await writeFile(path, good);
    expect(await cache.get('key', 'space')).toBe(1);
  });
});

describe('two instances on one path', () => {
  it('do not overwrite each other: the later write is refused, and taken when repeated', async () => {
    const [mine, theirs] = [open(), open()];
    await mine.set('mine', 1, 'space');
    await theirs.set('theirs', 2, 'space');
    const failures = await Promise.all([
      failureOf(() => mine.set('mine', 3, 'space')),
      failureOf(() => mine.set('mine', 4, 'space')),
    ]);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'BACKEND_FAILED' });
    expect((await readJson()).namespaces.space).toEqual({ mine: 1, theirs: 2 });
    expect(await mine.get('mine', 'space')).toBe(1);
    await mine.set('mine', 5, 'space');
    expect((await readJson()).namespaces.space).toEqual({ mine: 5, theirs: 2 });
  });

  it('notice a file that has appeared, and one that has gone', async () => {
    const [mine, theirs] = [open(), open()];
    await mine.listNamespaces();
    await theirs.set('theirs', 1, 'space');
    expect(await failureOf(() => mine.set('mine', 1, 'space'))).toMatchObject({ code: 'BACKEND_FAILED' });
    await mine.set('mine', 1, 'space');
    await rm(path);
    expect(await failureOf(() => mine.delete('mine', 'space'))).toMatchObject({ code: 'BACKEND_FAILED' });
    expect(await mine.listNamespaces()).toEqual([]);
  });
});

describe('a disk that fails', () => {
  it('undoes what could not be written, together with what waited for it', async () => {
    const parent = join(directory, 'parent');
    path = join(parent, 'context.json');
    const cache = open();
    await cache.listNamespaces();
    await writeFile(parent, 'in the way');
    const failures = await Promise.all(
      [1, 2, 3].map((value) => failureOf(() => cache.set(`k${value}`, value, 'space'))),
    );
    for (const failure of failures) expect(failure).toMatchObject({ code: 'BACKEND_FAILED' });
    await rm(parent);
    await mkdir(parent);
    expect(await cache.listNamespaces()).toEqual([]);
    await cache.set('after', 1, 'space');
    expect(await cache.listKeys('space')).toEqual(['after']);
  });

  it('does not let an answer stand that rests on a failed change', async () => {
    const parent = join(directory, 'parent');
    path = join(parent, 'context.json');
    const cache = open();
    await cache.set('key', 1, 'space');
    await rm(parent, { recursive: true });
    await writeFile(parent, 'in the way');
    const failures = await Promise.all([
      failureOf(() => cache.delete('key', 'space')),
      failureOf(() => cache.delete('key', 'space')),
    ]);
    for (const failure of failures) expect(failure).toMatchObject({ code: 'BACKEND_FAILED' });
  });
});

it('a mirror’s position is written together with the updates', async () => {
  const cache = open();
  await cache.applyUpdates([updateAt(1, 'set', { value: 'one' })], { log: 'l', after: 0, through: 4 }, never);
  expect(await readJson()).toMatchObject({ namespaces: { space: { key: 'one' } }, positions: { l: 4 } });
});

it('a path is needed', async () => {
  expect(await failureOf(() => new FileContextCache({ path: '' }))).toMatchObject({ code: 'INVALID_OPTION' });
});
