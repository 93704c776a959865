import { connect as connectNats } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AgentCache } from '../../src/cache/agent-cache.ts';
import { CacheMethods } from '../../src/cache/cache-methods.ts';
import { NamespaceHandle } from '../../src/cache/namespace-handle.ts';
import { Transaction } from '../../src/cache/transact.ts';
import { connect, RemoteContextCache, RemoteView } from '../../src/client.ts';
import { AgentContextCache, CacheView, type ContextCommand } from '../../src/index.ts';
import { memoryOf } from '../../src/integrations/mcp-access.ts';
import { BRANCH_TOOLS } from '../../src/integrations/mcp-branches.ts';
import { listResources, readResource } from '../../src/integrations/mcp-resources.ts';
import { type Arguments, TOOLS } from '../../src/integrations/mcp-tools.ts';
import { ROUTES } from '../../src/serve/http-routes.ts';
import { answerNatsCommands } from '../../src/serve/nats-commands.ts';
import { OpenViews } from '../../src/serve/open-views.ts';
import { answerOf, isStream, type Request, streamOf } from '../../src/serve/socket-requests.ts';
import {
  fillVault,
  grantsWith,
  guardedCache,
  HIDDEN,
  membersOf,
  observe,
  STRANGER,
  STRANGER_TOKEN,
  tryAll,
} from '../support/access.ts';
import {
  COMMANDS,
  HANDLE,
  HTTP,
  MCP,
  METHODS,
  OWN,
  type Own,
  REMOTE,
  REQUESTS,
  type Vault,
  VIEW,
  type View,
} from '../support/access-tries.ts';
import { startNats } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

/**
 * Every way into a cache is tried by an agent that has no right to what it asks for. The lists of ways come from the classes,
 * types and tables themselves: a new one fails here until it is listed with how it is tried.
 */

let world: Awaited<ReturnType<typeof guardedCache>>;
let position = 0;
beforeAll(async () => {
  world = await guardedCache();
  position = world.cache.position;
});
afterAll(async () => {
  expect(world.cache.position).toBe(position);
  expect(world.errors).toEqual([]);
  await world[Symbol.asyncDispose]();
});

// With a token the server names the writer, whatever the call says.
const TOKEN_METHODS = { ...METHODS, set: (METHODS.set ?? []).slice(0, 3) };

describe('an agent without a right is refused by, and sees nothing through,', () => {
  const caches = {
    'a handle': () => world.cache.as({ agent: STRANGER }),
    'the cache of its token': () => world.cache.forAgent(STRANGER),
    'a handle of a client': () => world.owner.as({ agent: STRANGER }),
    'a client with its token': () => world.remote,
  } as unknown as Record<string, () => CacheMethods>;

  test.each(Object.keys(caches))('every method of %s', async (name) => {
    const cache = (caches[name] as () => CacheMethods)();
    const tries = name === 'a client with its token' ? TOKEN_METHODS : METHODS;
    await tryAll(cache, membersOf(CacheMethods), tries);
    await tryAll(cache.namespace('vault') as unknown as Vault, membersOf(NamespaceHandle), HANDLE);
    expect(() => cache.namespace('vault').subscribe(() => {})).not.toThrow(/S3CRET/);
  });

  test.each(['a handle', 'a client with its token'])('every method of a shared directory, by %s', async (way) => {
    const dataDir = await tempDir('access');
    await using shared = await AgentContextCache.share(dataDir, {
      ...{ natsUrl: null, backup: { enabled: false }, grants: grantsWith(), topics: ['UNNAMED.topic'] },
      server: { agentTokens: { [STRANGER]: STRANGER_TOKEN } },
      onError: () => {},
    });
    await fillVault(shared);
    const head = shared.position;
    if (way === 'a handle') {
      const handle = shared.as({ agent: STRANGER });
      await tryAll<CacheMethods>(handle as unknown as CacheMethods, membersOf(CacheMethods), METHODS);
    } else {
      await using client = await connect(dataDir, { token: STRANGER_TOKEN, onError: () => {} });
      await tryAll<CacheMethods>(client as unknown as CacheMethods, membersOf(CacheMethods), TOKEN_METHODS);
      await tryAll<Own>(client as unknown as Own, membersOf(RemoteContextCache), REMOTE);
    }
    expect((await shared.health()).log.head).toBe(head);
  });

  test('every method of a transaction', () => {
    // `end` and `hasRead` are internal.
    expect(membersOf(Transaction).sort()).toEqual(['delete', 'end', 'get', 'has', 'hasRead', 'set']);
  });

  test('every method of a view', async () => {
    await tryAll<View>(world.cache.forAgent(STRANGER).at(position) as unknown as View, membersOf(CacheView), VIEW);
    await tryAll<View>((await world.remote.at(position)) as unknown as View, membersOf(RemoteView), VIEW);
  });

  test('every other method that a token gives', async () => {
    const own = membersOf(AgentCache).filter((name) => name !== 'inspection');
    await tryAll(world.cache.forAgent(STRANGER) as unknown as Own, own, OWN);
    await tryAll(world.remote as unknown as Own, membersOf(RemoteContextCache), REMOTE);
  });

  test('every member of inspection', async () => {
    const { inspection } = world.cache.forAgent(STRANGER);
    for (const name of membersOf(Object.getPrototypeOf(world.cache.inspection).constructor)) {
      const { outcome, shown } = await observe(() => Reflect.get(inspection, name));
      const isShown = ['log', 'limits', 'clock', 'onShutdown', 'begin'].includes(name);
      expect(`${name} ${outcome}`).toBe(`${name} ${isShown ? 'done' : 'denied'}`);
      expect(shown).not.toMatch(HIDDEN);
    }
  });

  test('no handle and no client of an agent has a method of the owner', () => {
    const owned = membersOf(AgentContextCache).filter((name) => !Object.hasOwn(METHODS, name));
    expect(owned).toContain('fork');
    const handle = world.cache.as({ agent: STRANGER });
    expect(owned.filter((name) => name in handle)).toEqual([]);
  });

  test.each(Object.entries(COMMANDS))('the command %s, by every transport', async (type, [expected, fields]) => {
    const command = { ...fields, type } as ContextCommand;
    const outcomes: string[] = [];
    const asked = [
      () => world.cache.forAgent(STRANGER).ask(command),
      () => world.remote.ask(command),
      async () => {
        const response = await post('/v1/command', JSON.stringify(command));
        const { error, ok } = JSON.parse(response.text) as { error?: object; ok?: unknown };
        if (error === undefined) return ok;
        throw Object.assign(new Error(), error);
      },
    ];
    for (const ask of asked) {
      const { outcome, shown } = await observe(ask);
      outcomes.push(outcome);
      expect(shown).not.toMatch(HIDDEN);
    }
    // A token forgets no subject, and says so before grants are looked at.
    const code = type === 'subjects.forget' ? 'FORBIDDEN' : 'ACCESS_DENIED';
    const byToken = type === 'subjects.forget' ? 'forbidden' : expected === 'denied' ? 'denied' : 'done';
    expect(outcomes).toEqual([expected === 'denied' ? 'denied' : 'done', byToken, byToken]);
    const applied = await post('/v1/apply', `${JSON.stringify(command)}\n`, 'application/x-ndjson');
    expect(applied.text).not.toMatch(HIDDEN);
    expect(applied.text.includes(`"${code}"`)).toBe(expected === 'denied');
  });

  test('every command as a NATS request', async () => {
    await using nats = await startNats({ jetstream: false });
    const connection = await connectNats({ servers: nats.url });
    const { cache } = world;
    const consumers = [
      answerNatsCommands({ cache, connection, subject: 'as.stranger', agent: STRANGER }),
      answerNatsCommands({ cache, connection, subject: 'as.any' }),
    ];
    await Promise.all(consumers.map(({ ready }) => ready));
    const ask = async (subject: string, command: object) => {
      const answer = await connection.request(subject, JSON.stringify(command), { timeout: 30_000 });
      expect(answer.string()).not.toMatch(HIDDEN);
      return answer.json<{ readonly error?: { readonly code: string } }>().error?.code;
    };
    for (const [type, [expected, fields]] of Object.entries(COMMANDS)) {
      const forgets = type === 'subjects.forget';
      const refused = forgets ? 'FORBIDDEN' : expected === 'denied' ? 'ACCESS_DENIED' : undefined;
      expect(`${type} ${await ask('as.stranger', { ...fields, type })}`).toBe(`${type} ${refused}`);
      // No publisher acts as another agent, and without a given one none is believed.
      if (expected === 'denied') {
        const asKeeper = await ask('as.stranger', { ...fields, type, agent: 'keeper' });
        expect(asKeeper).toMatch(/^(ACCESS_DENIED|FORBIDDEN|INVALID_COMMAND)$/);
      }
      expect(await ask('as.any', { ...fields, type })).toBe('FORBIDDEN');
    }
    await Promise.all(consumers.map((each) => each.close()));
    await connection.close();
  });

  test.each(Object.entries(REQUESTS))('the request %s of a client', async (type, [expected, fields]) => {
    const cache = world.cache.forAgent(STRANGER);
    const session = { cache, agent: STRANGER, views: new OpenViews(cache) };
    const request = { ...fields, type } as Request;
    const { outcome, shown } = await observe(() => {
      if (!isStream(type)) return answerOf(session, request);
      const { items } = streamOf(session, request);
      return items;
    });
    session.views.closeAll();
    expect(outcome).toBe(expected === 'denied' ? 'denied' : 'done');
    expect(shown).not.toMatch(HIDDEN);
  });

  test('every HTTP route', async () => {
    const posts = ['/v1/command', '/v1/apply'];
    expect([...ROUTES.keys()].filter((path) => !posts.includes(path))).toEqual(Object.keys(HTTP));
    for (const [path, ways] of Object.entries(HTTP)) {
      for (const [status, query] of ways) {
        const found = await get(`${path}?${query}`);
        expect(`${path}?${query} ${found.status}`).toBe(`${path}?${query} ${status}`);
        expect(found.text).not.toMatch(HIDDEN);
        if (status === 403) expect(found.text).toContain('ACCESS_DENIED');
      }
    }
    expect((await post('/v1/inspect', '{}')).text).toContain('FORBIDDEN');
  });

  test.each(Object.entries(MCP))('the tool %s of MCP', async (name, [expected, args]) => {
    const cache = memoryOf(world.cache, STRANGER);
    const { outcome, shown } = await observe(() =>
      TOOLS[name as keyof typeof TOOLS].run({ cache, args: args as Arguments, agent: STRANGER, maxBytes: 65_536 }),
    );
    expect(outcome).toBe(expected === 'denied' ? 'denied' : 'done');
    expect(shown).not.toMatch(HIDDEN);
  });

  test('the resources and branches of MCP', async () => {
    const cache = memoryOf(world.cache, STRANGER);
    expect((await observe(() => listResources(cache, undefined))).shown).not.toMatch(HIDDEN);
    for (const uri of ['context://vault', 'context://vault/code'])
      expect((await observe(() => readResource(cache, uri))).outcome).toBe('denied');
    expect(Object.keys(BRANCH_TOOLS)).toEqual(['fork', 'merge', 'discard']);
    const call = { cache: world.cache, args: { branch: 'b' } as Arguments, agent: STRANGER, maxBytes: 65_536 };
    await BRANCH_TOOLS.fork.run(call);
    const branch = await world.cache.fork();
    await branch.set('code', 'S3CRET 6', 'vault');
    expect((await observe(() => branch.as({ agent: STRANGER }).get('code', 'vault'))).outcome).toBe('denied');
    const merged = await observe(() => world.cache.merge(branch, { agent: STRANGER }));
    expect(merged.outcome).toBe('denied');
    expect(merged.shown).not.toMatch(HIDDEN);
    await branch.shutdown();
    await BRANCH_TOOLS.discard.run(call);
    await BRANCH_TOOLS.fork.run({ ...call, agent: 'keeper' });
    for (const tool of [BRANCH_TOOLS.merge, BRANCH_TOOLS.discard])
      expect((await observe(() => tool.run(call))).outcome).toBe('forbidden');
    await BRANCH_TOOLS.discard.run({ ...call, agent: 'keeper' });
  });
});

async function get(path: string): Promise<{ status: number; text: string }> {
  const stop = new AbortController();
  const headers = { authorization: `Bearer ${STRANGER_TOKEN}` };
  const response = await fetch(`${world.server.url}${path}`, { headers, signal: stop.signal });
  let text = '';
  // A watch never ends.
  const timer = setTimeout(() => stop.abort(), path.startsWith('/v1/watch') ? 300 : 10_000);
  try {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  } catch {
    expect(path).toMatch(/^\/v1\/watch/);
  }
  clearTimeout(timer);
  return { status: response.status, text };
}

async function post(path: string, body: string, type = 'application/json'): Promise<{ status: number; text: string }> {
  const headers = { authorization: `Bearer ${STRANGER_TOKEN}`, 'content-type': type };
  const response = await fetch(`${world.server.url}${path}`, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}
