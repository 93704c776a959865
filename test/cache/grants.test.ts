import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { restrictedHealth } from '../../src/cache/restricted-commands.ts';
import { connect } from '../../src/client.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { AccessDeniedError, AgentContextCache, memorySubjectKeys, VersionConflictError } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import type { Grant } from '../../src/types.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function cacheWith(grants: readonly Grant[]): AgentContextCache {
  const cache = new AgentContextCache({ natsUrl: null, grants, onError: () => {} });
  closing.push(() => cache.shutdown({ timeoutMs: 0 }));
  return cache;
}

const PLANNER: Grant = { agent: 'planner', read: ['trip/**'], write: [{ namespace: 'trip', keys: ['plan', 'day:*'] }] };

describe('grants', () => {
  test('say in the error who may not do what, and which pattern would allow it', async () => {
    const cache = cacheWith([PLANNER]);
    const error = await cache
      .as({ agent: 'planner' })
      .set('budget', 1, 'trip')
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AccessDeniedError);
    expect(error).toMatchObject({
      ...{
        code: 'ACCESS_DENIED',
        agent: 'planner',
        action: 'write',
        namespace: 'trip',
        key: 'budget',
        pattern: 'trip',
      },
      message:
        'Agent "planner" may not write key "budget" of namespace "trip". Its grant needs write: ["trip"] or a wider pattern.',
    });
    expect(cache.position).toBe(0);
    expect(cache.health().access).toMatchObject({
      grants: 1,
      denied: 1,
      recent: [{ agent: 'planner', key: 'budget' }],
    });
    const metrics = cache.inspection.metrics().map(({ name, samples }) => [name, samples[0]?.value]);
    expect(metrics).toContainEqual(['agent_context_cache_access_denied_total', 1]);
  });

  test('are those of the agent that a write names, whoever makes it', async () => {
    const cache = cacheWith([PLANNER]);
    await cache.set('budget', 1, 'trip');
    await cache.set('plan', 1, 'trip', { agent: 'planner' });
    await expect(cache.set('budget', 2, 'trip', { agent: 'planner' })).rejects.toThrow(AccessDeniedError);
    await expect(cache.ask({ type: 'context.drop', namespace: 'trip', agent: 'planner' })).rejects.toThrow(
      'may not write',
    );
    await expect(cache.set('plan', 2, 'trip', { agent: 'another' })).rejects.toThrow('Agent "another"');
    expect(cache.get('plan', 'trip')).toBe(1);
  });

  test('change while the cache runs, also for a watch that is running', async () => {
    const cache = cacheWith([{ agent: 'a', read: ['x'] }]);
    const seen: unknown[] = [];
    const stop = cache.as({ agent: 'a' }).subscribe(({ namespace, key }) => seen.push([namespace, key]));
    const watch = cache.as({ agent: 'a' }).watch();
    await cache.set('k1', 1, 'x');
    await cache.set('k2', 1, 'y');
    await cache.setGrants([{ agent: 'a', read: ['y'] }]);
    await cache.set('k3', 1, 'x');
    await cache.set('k4', 1, 'y');
    // A watch shows what may be read when it is yielded.
    expect((await watch.next()).value).toMatchObject({ key: 'k2' });
    expect((await watch.next()).value).toMatchObject({ key: 'k4' });
    await watch.return?.();
    stop();
    expect(seen).toEqual([
      ['x', 'k1'],
      ['y', 'k4'],
    ]);
    await cache.setGrants([]);
    expect(cache.as({ agent: 'a' }).listNamespaces()).toEqual(['default', 'x', 'y']);
  });

  test('are kept by a data directory, and the last one is not removed by chance', async () => {
    const dataDir = await tempDir('grants-');
    const first = await AgentContextCache.open({ dataDir, natsUrl: null, grants: [PLANNER] });
    await first.addGrant({ agent: 'b', read: ['x'] });
    await expect(first.addGrant({ agent: 'c', read: ['a**'] })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await first.shutdown();
    await using second = await AgentContextCache.open({ dataDir, natsUrl: null });
    expect(second.getGrants().map(({ agent }) => agent)).toEqual(['planner', 'b']);
    expect(() => second.as({ agent: 'b' }).get('plan', 'trip')).toThrow(AccessDeniedError);
    await second.removeGrant('b');
    await expect(second.removeGrant('b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(second.removeGrant('planner')).rejects.toThrow('last grant');
    expect(second.getGrants()).toHaveLength(1);
  });

  test('are looked at before a value with a subject is encrypted', async () => {
    const keys = memorySubjectKeys();
    const grants = [{ agent: 'a', read: ['x'], write: ['x'] }];
    await using cache = new AgentContextCache({ natsUrl: null, grants, subjects: { keys }, onError: () => {} });
    const agent = cache.as({ agent: 'a' });
    await agent.set('k', 'secret', 'x', { subject: 'known' });
    await cache.forget('known');
    for (const subject of ['known', 'new']) {
      const set = { operation: 'set', key: 'k', value: 1, subject } as const;
      const refused = [
        () => agent.set('k', 1, 'y', { subject }),
        () => agent.append(1, 'y', { subject }),
        () => agent.batch([set], 'y'),
        () => agent.transaction([{ ...set, namespace: 'y' }]),
        () => cache.ask({ type: 'context.set', key: 'k', value: 1, subject, namespace: 'y', agent: 'a' }),
      ];
      for (const write of refused) await expect(write()).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    }
    // No key was made for the new subject, and nothing says that the other one was forgotten.
    expect((await keys.list()).map(({ subject }) => subject)).not.toContain('new');
    expect(agent.listNamespaces()).not.toContain('$forgotten');
    for (const read of [
      () => agent.get('known', '$forgotten'),
      () => agent.entries('$forgotten'),
      () => cache.forAgent('a').at(cache.position).entries('$forgotten'),
    ])
      expect(read).toThrow(AccessDeniedError);
    expect(cache.forAgent('a').at(cache.position).entry('k', 'x')).toMatchObject({ value: null, forgotten: [''] });
    await expect(cache.forAgent('a').ask({ type: 'subjects.list' })).rejects.toThrow(AccessDeniedError);
  });

  test('hide readings of other namespaces in the basis of a clear', async () => {
    const cache = cacheWith([{ agent: 'a', read: ['open'] }]);
    await cache.set('code', 'secret', 'vault');
    await cache.setMany({ 'old:1': 1, 'old:2': 1 }, 'open');
    const agent = cache.as({ agent: 'a' });
    const watch = agent.watch({ since: cache.position });
    const own = { namespace: 'open', key: 'old:1', version: 1 };
    const basis = [{ namespace: 'vault', key: 'code', version: 1 }, own];
    await cache.clearNamespace('open', { prefix: 'old:', basis });
    const seen = { operation: 'clear', keys: ['old:1', 'old:2'], basis: [own] };
    expect((await watch.next()).value).toMatchObject(seen);
    await watch.return?.();
    expect((await agent.changes({ since: 3 })).changes).toMatchObject([seen]);
    const log = [];
    for await (const update of cache.forAgent('a').readLog({ from: 4 })) log.push(update);
    expect(log).toMatchObject([seen]);
    expect((await cache.changes({ since: 3 })).changes).toMatchObject([{ basis }]);
  });

  test.each([
    ['without grants', []],
    ['with grants', [PLANNER]],
  ])('refuse a name that is too long as such, %s', async (_, grants) => {
    const cache = cacheWith(grants);
    const long = 'x'.repeat(100_000);
    const agent = cache.forAgent('planner');
    for (const read of [
      () => agent.get(long, 'trip'),
      () => agent.get('k', long),
      () => agent.entries(long),
      () => agent.digest(long),
      () => agent.set(long, 1, 'trip'),
    ]) {
      const refusal = (await Promise.resolve()
        .then((): unknown => read())
        .catch((error: unknown) => error)) as Error;
      expect(refusal).toMatchObject({ code: 'INVALID_NAME' });
      expect(refusal.message.length).toBeLessThan(1_000);
    }
    expect(cache.health().access.denied).toBe(0);
  });

  test('of everything, or of a whole namespace, allow what is about all of it', async () => {
    const cache = cacheWith([{ agent: 'reader', read: ['**'] }, PLANNER, { agent: 'writer', write: ['trip/**'] }]);
    await cache.set('plan', 1, 'trip');
    expect(await cache.forAgent('reader').digest()).toBe(await cache.digest());
    expect(await cache.forAgent('planner').digest('trip')).toBe(await cache.digest('trip'));
    await expect(cache.forAgent('planner').digest()).rejects.toThrow('may not read all that digest is about');
    await cache.as({ agent: 'writer' }).clearNamespace('trip');
    await cache.as({ agent: 'writer' }).dropNamespace('trip');
    expect(cache.listNamespaces()).toEqual(['default']);
  });

  test('hide every field of health that is not known to be harmless', () => {
    const cache = cacheWith([PLANNER]);
    const health = cache.health();
    const { log, retention, namespaces, errors, activity } = health;
    const parts = Object.entries({ log, retention, namespaces, errors, activity });
    const grown = Object.fromEntries(parts.map(([name, part]) => [name, { ...part, added: 'secret' }]));
    const { access } = cache[INTERNALS].parts;
    const seen = restrictedHealth(access, 'planner', { ...health, ...grown, ...{ added: 'secret' } });
    expect(JSON.stringify(seen)).not.toContain('secret');
    expect(seen).toEqual(health);
  });

  test('limit a briefing, whose end each agent keeps without a grant', async () => {
    const cache = cacheWith([PLANNER, { agent: 'other', read: ['hotel'] }]);
    await cache.set('budget', 900, 'trip');
    await cache.set('room', 'secret', 'hotel');
    const planner = cache.as({ agent: 'planner' });
    const keysOf = (briefing: { changes: readonly { key: string | null }[] }) => briefing.changes.map(({ key }) => key);
    expect(keysOf(await cache.briefing({ agent: 'planner', advance: false }))).toEqual(['budget']);
    expect(keysOf(await planner.briefing())).toEqual(['budget']);
    expect(keysOf(await planner.briefing())).toEqual([]);
    expect(keysOf(await planner.briefing({ namespaces: ['trip'] }))).toEqual(['budget']);
    expect(keysOf(await cache.briefing({ agent: 'other' }))).toEqual(['room']);
    await expect(planner.briefing({ agent: 'other' })).rejects.toThrow(AccessDeniedError);
    for (const key of ['other', '["other","trip"]']) {
      expect(() => planner.get(key, 'briefing/cursors')).toThrow(AccessDeniedError);
      await expect(planner.set(key, { position: 9 }, 'briefing/cursors')).rejects.toThrow(AccessDeniedError);
    }
  });

  test('of a branch are those of its parent, and a merge by an agent needs the right to all of it', async () => {
    const cache = cacheWith([PLANNER, { agent: 'operator', admin: true }]);
    const branch = await cache.fork();
    closing.push(() => branch.shutdown());
    await expect(branch.as({ agent: 'planner' }).set('budget', 1, 'trip')).rejects.toThrow(AccessDeniedError);
    await branch.set('budget', 1, 'trip');
    await branch.as({ agent: 'planner' }).set('plan', 1, 'trip');
    await expect(cache.merge(branch, { agent: 'planner' })).rejects.toThrow('may not write all that merge is about');
    expect(cache.position).toBe(0);
    expect(await cache.merge(branch, { agent: 'operator' })).toMatchObject({ updates: 2 });
  });

  test('reach branches in memory when they change, until a branch is given its own', async () => {
    const cache = cacheWith([PLANNER]);
    await cache.set('plan', 1, 'trip');
    const branch = await cache.fork();
    const twig = await branch.fork();
    const own = await cache.fork({ grants: [PLANNER] });
    const copy = await cache.fork({ dataDir: await tempDir('branch-') });
    closing.push(...[branch, twig, own, copy].map((each) => () => each.shutdown({ timeoutMs: 0 })));
    const reads = (each: AgentContextCache) => () => each.as({ agent: 'planner' }).get('plan', 'trip');
    await cache.setGrants([{ agent: 'other', read: ['**'] }]);
    for (const each of [branch, twig]) expect(reads(each)).toThrow(AccessDeniedError);
    for (const each of [own, copy]) expect(reads(each)()).toBe(1);
    await twig.set('plan', 2, 'trip');
    await twig.addGrant(PLANNER);
    expect(twig.getGrants().map(({ agent }) => agent)).toEqual(['other', 'planner']);
    expect(cache.getGrants()).toHaveLength(1);
    expect(reads(twig)()).toBe(2);
    await cache.setGrants([]);
    expect(reads(branch)()).toBe(1);
    expect(twig.getGrants()).toHaveLength(2);
  });

  test('let an agent without the right to read write, and hide what it replaces', async () => {
    const cache = cacheWith([{ agent: 'w', write: ['box'] }]);
    await cache.set('k', 'secret', 'box');
    const writer = cache.as({ agent: 'w' });
    await writer.set('k', 'new', 'box');
    await cache.set('k', 'secret 2', 'box');
    const conflict = await writer.set('k', 1, 'box', { ifVersion: 1 }).catch((thrown: unknown) => thrown);
    expect(conflict).toBeInstanceOf(VersionConflictError);
    expect((conflict as VersionConflictError).current).toBeUndefined();
    expect(String(conflict)).not.toMatch(/secret|version 3/);
    for (const refused of [
      () => writer.set('k', 'secret 2', 'box', { ifDifferent: true }),
      () => writer.increment('n', 0, 'box'),
      () => writer.update('k', () => undefined, 'box'),
      () => writer.getOrSet('k', () => 1, 'box'),
      () => writer.batch([{ operation: 'check', key: 'k', ifPresent: true }], 'box'),
    ])
      await expect(refused()).rejects.toThrow('may not read');
    await expect(writer.clearNamespace('box')).resolves.toMatchObject({ changed: true });
  });

  test('of some keys refuse what is about others: a clear, a drop, a key that append could give', async () => {
    const cache = cacheWith([{ agent: 'a', write: [{ namespace: 'n', keys: ['msg:*', 'day/**'] }], read: ['n'] }]);
    const agent = cache.as({ agent: 'a' });
    await agent.append('hello', 'n', { prefix: 'msg:' });
    await agent.clearNamespace('n', { prefix: 'day/' });
    for (const refused of [
      () => agent.append('hello', 'n'),
      () => agent.clearNamespace('n'),
      () => agent.clearNamespace('n', { prefix: 'msg:' }),
      () => agent.clearNamespace('n', { prefix: 'da' }),
      () => agent.dropNamespace('n'),
    ])
      await expect(refused()).rejects.toThrow(AccessDeniedError);
  });

  test('give an agent with admin every right, by its token too, and no other agent', async () => {
    const cache = cacheWith([PLANNER, { agent: 'operator', admin: true }]);
    const agentTokens = { operator: 'operator-token-012345', planner: 'planner-token-0123456' };
    await using server = await startServer(cache, { agentTokens });
    await using operator = await connect(server.url, { token: agentTokens.operator });
    await using planner = await connect(server.url, { token: agentTokens.planner });
    await expect(planner.setGrants([])).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      action: 'admin',
      command: 'grants.set',
    });
    await operator.addGrant({ agent: 'planner', read: ['**'] });
    expect(await operator.getGrants()).toHaveLength(2);
    await operator.set('k', 1, 'elsewhere');
    expect(await planner.get('k', 'elsewhere')).toBe(1);
    await expect(planner.set('k', 2, 'elsewhere')).rejects.toBeInstanceOf(AccessDeniedError);
    expect((await planner.health()).access).toMatchObject({ denied: 2 });
  });
});

const NAMESPACES = ['a', 'a/x', 'b', 'default'];
const KEYS = ['k', 'k/1', 'm', 'z:1'];
const pattern = fc.constantFrom('a', 'a/**', '**', 'b', 'default', '*');
const selection = fc.oneof(
  pattern,
  fc.record({ namespace: pattern, keys: fc.constantFrom('k', 'k/**', '*', '**', 'z:*') }),
);

test('an agent sees of lists, views, changes, watches and the log exactly what a filter of all leaves', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(selection, { maxLength: 3 }), fc.nat({ max: 4 }), async (read, limit) => {
      await using cache = new AgentContextCache({ natsUrl: null, grants: [{ agent: 'a', read }] });
      for (const namespace of NAMESPACES)
        for (const key of KEYS) await cache.set(key, `${namespace} ${key}`, namespace);
      await cache.clearNamespace('b', { prefix: 'k' });
      const may = (namespace: string, key: string) =>
        cache
          .forAgent('a')
          .ask({ type: 'context.has', namespace, key })
          .then(
            () => true,
            () => false,
          );
      const allowed = new Map<string, string[]>();
      for (const namespace of NAMESPACES) {
        const keys: string[] = [];
        for (const key of KEYS) if (await may(namespace, key)) keys.push(key);
        allowed.set(namespace, keys);
      }
      const mayKey = (namespace: string, key: string) => allowed.get(namespace)?.includes(key) === true;
      const agent = cache.as({ agent: 'a' });
      const view = cache.forAgent('a').at(cache.position);
      const listed = agent.listNamespaces() as string[];
      for (const namespace of NAMESPACES) if (allowed.get(namespace)?.length) expect(listed).toContain(namespace);
      expect(view.listNamespaces()).toEqual(listed);
      for (const namespace of listed) {
        const all = (cache.listKeys(namespace, {}) as string[]).filter((key) => mayKey(namespace, key));
        expect(agent.listKeys(namespace, {})).toEqual(all);
        expect([...(agent.keys(namespace, { limit }) as Iterable<string>)]).toEqual(all.slice(0, limit));
        expect((agent.entries(namespace) as { key: string }[]).map(({ key }) => key).sort()).toEqual([...all].sort());
        expect([...view.keys(namespace, { limit, reverse: true })]).toEqual([...all].reverse().slice(0, limit));
        expect(
          view
            .entries(namespace)
            .map(({ key }) => key)
            .sort(),
        ).toEqual([...all].sort());
      }
      const seen = (
        updates: readonly { namespace: string; key: string | null; keys?: readonly string[] | undefined }[],
      ) =>
        updates.flatMap(({ namespace, key, keys }) => (keys ?? [key as string]).map((each) => `${namespace} ${each}`));
      const wanted = async (
        updates: AsyncIterable<{ namespace: string; key: string | null; keys?: readonly string[] | undefined }>,
      ) => {
        const all: string[] = [];
        for await (const { namespace, key, keys } of updates)
          for (const each of keys ?? [key as string]) if (mayKey(namespace, each)) all.push(`${namespace} ${each}`);
        return all;
      };
      const log = await wanted(cache.readLog());
      const own = [];
      for await (const update of cache.forAgent('a').readLog()) own.push(update);
      expect(seen(own)).toEqual(log);
      const { changes } = await agent.changes({ since: 0 });
      const { changes: whole } = await cache.changes({ since: 0 });
      expect(seen(changes)).toEqual(
        seen(whole).filter((name) => mayKey(name.split(' ')[0] ?? '', name.split(' ')[1] ?? '')),
      );
      const { added } = await cache.forAgent('a').diff(0, cache.position);
      const { added: everything } = await cache.diff(0, cache.position);
      expect(added).toEqual(everything.filter(({ namespace, key }) => mayKey(namespace, key)));
    }),
    fcOptions(30),
  );
});
