import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { answerNatsCommands, type NatsCommands } from '../../src/serve/nats-commands.ts';
import { jsonLines, run, serve, setLine, waitFor } from '../support/cli.ts';
import { subscribeRaw } from '../support/nats-wire.ts';
import { startNats, type TestServer } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const SUBJECT = 'context-cache.commands';

let nats: TestServer;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

describe('commands as NATS requests', () => {
  let cache: AgentContextCache;
  let commands: NatsCommands;
  let client: NatsConnection;
  const errors: Error[] = [];

  beforeEach(async () => {
    errors.length = 0;
    cache = new AgentContextCache({ natsUrl: null });
    commands = answerNatsCommands({ cache, url: nats.url, onError: (error) => errors.push(error) });
    client = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    await commands.ready;
  });
  afterEach(async () => {
    await commands.close();
    await client.close();
    await cache.shutdown();
  });

  const ask = async (command: unknown, subject = SUBJECT, timeout = 30_000) => {
    const payload = typeof command === 'string' || command instanceof Uint8Array ? command : JSON.stringify(command);
    return (await client.request(subject, payload, { timeout })).json<Record<string, unknown>>();
  };

  test('are executed and answered', async () => {
    const set = { type: 'context.set', namespace: 'n', key: 'k', value: { a: [1, null] }, agent: 'me' };
    expect(await ask(set)).toEqual({ ok: { version: 1, position: 1, changed: true } });
    expect(cache.entry('k', 'n')).toMatchObject({ value: { a: [1, null] }, agent: 'me' });
    expect(await ask({ type: 'context.get', namespace: 'n', key: 'k' })).toEqual({ ok: { a: [1, null] } });
    expect(await ask({ type: 'context.get', namespace: 'n', key: 'none' })).toEqual({ ok: null, found: false });
    expect(await ask({ type: 'context.namespaces' })).toEqual({ ok: ['default', 'n'] });
    expect(await ask({ type: 'cache.health' })).toMatchObject({ ok: { status: 'ok' } });
  });

  test('are refused with the reason, and change nothing', async () => {
    await ask({ type: 'context.set', key: 'k', value: 1 });
    expect(await ask({ type: 'context.set', key: 'k', value: 2, ifVersion: 0 })).toEqual({
      error: {
        ...{ code: 'VERSION_CONFLICT', message: expect.any(String), namespace: 'default', key: 'k', expected: 0 },
        current: expect.objectContaining({ value: 1 }),
      },
    });
    expect(await ask({ type: 'xstate.stop' })).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask('not JSON')).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask(Uint8Array.of(0x22, 0xff, 0x22))).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask('')).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask('null')).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask({ type: 'context.set', key: 'k', value: 1, namespace: '' })).toMatchObject({
      error: { code: 'INVALID_NAME' },
    });
    const elsewhere = { type: 'cache.verify', against: 'redis://192.0.2.1:6379' };
    expect(await ask(elsewhere)).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    const unclear = { type: 'cache.verify', repair: 'yes' };
    expect(await ask(unclear)).toMatchObject({ error: { code: 'INVALID_COMMAND' } });
    expect(await ask({ type: 'cache.verify', repair: true })).toMatchObject({ ok: { ok: true } });
    expect(cache.position).toBe(1);
    expect(errors).toEqual([]);
  });

  test('come from the agent of the option, and are refused without it while there are grants', async () => {
    await cache.setGrants([{ agent: 'planner', read: ['trip'] }]);
    const options = { cache, url: nats.url, subject: 'planner.commands', agent: 'planner' };
    const own = answerNatsCommands(options);
    await own.ready;
    const get = { type: 'context.get', namespace: 'trip', key: 'k' };
    expect(await ask(get)).toMatchObject({ error: { code: 'FORBIDDEN', message: expect.stringContaining('agent') } });
    expect(cache.health().access.denied).toBe(0);
    expect(await ask(get, options.subject)).toEqual({ ok: null, found: false });
    const set = { type: 'context.set', namespace: 'trip', key: 'k', value: 1 };
    expect(await ask(set, options.subject)).toMatchObject({ error: { code: 'ACCESS_DENIED', agent: 'planner' } });
    expect(cache.health().access.denied).toBe(1);
    await own.close();
  });

  test('with a reply subject outside of _INBOX are ignored', async () => {
    const listener = await subscribeRaw(nats.url, ['orders', '_INBOXES.x']);
    for (const reply of ['orders', '_INBOXES.x', '_INBOX']) {
      client.publish(SUBJECT, JSON.stringify({ type: 'context.set', key: reply, value: 1 }), { reply });
    }
    expect(await ask({ type: 'context.keys' })).toEqual({ ok: [] });
    await listener.flush();
    expect(listener.messages).toEqual([]);
    expect(errors).toHaveLength(3);
    listener.close();
  });

  test('without a reply subject are executed, and a failure is reported to onError', async () => {
    client.publish(SUBJECT, JSON.stringify({ type: 'context.set', key: 'k', value: 1 }));
    client.publish(SUBJECT, 'nonsense');
    expect(await ask({ type: 'context.keys' })).toEqual({ ok: ['k'] });
    expect(errors).toHaveLength(1);
  });

  test('whose answer exceeds the limit of the server get an error', async () => {
    const value = 'x'.repeat(600_000);
    await cache.setMany({ a: value, b: value });
    expect(await ask({ type: 'context.get', key: 'a' })).toEqual({ ok: value });
    await cache.set('c', [value, value]);
    expect(await ask({ type: 'context.get', key: 'c' })).toEqual({
      error: { code: 'BACKEND_FAILED', message: expect.stringContaining('HTTP') },
    });
  });

  test('are taken again after the server was down', async () => {
    await ask({ type: 'context.set', key: 'before', value: 1 });
    await nats.restart();
    // A request into the broken connection gets no answer.
    const get = { type: 'context.get', key: 'before' };
    await waitFor(async () => expect(await ask(get, SUBJECT, 3_000)).toEqual({ ok: 1 }));
  });

  test('reach one member of a queue, and everyone without a queue', async () => {
    const others = [new AgentContextCache({ natsUrl: null }), new AgentContextCache({ natsUrl: null })];
    const queued = others.map((other) =>
      answerNatsCommands({ cache: other, url: nats.url, subject: 'shared', queue: 'q' }),
    );
    await Promise.all(queued.map(({ ready }) => ready));
    for (let index = 0; index < 50; index += 1)
      await ask({ type: 'context.set', key: `k${index}`, value: 1 }, 'shared');
    expect(others.reduce((sum, { position }) => sum + position, 0)).toBe(50);
    await Promise.all(queued.map((each) => each.close()));
    await Promise.all(others.map((other) => other.shutdown()));
  });

  test('beyond the limit are refused, not queued', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = Object.create(cache, { ask: { value: () => held } }) as AgentContextCache;
    const few = answerNatsCommands({ cache: slow, url: nats.url, subject: 'few', maxInFlight: 3, agent: null });
    await few.ready;
    const asked = Array.from({ length: 5 }, () => ask({ type: 'cache.flush' }, 'few'));
    const refused = await Promise.all(asked.slice(3));
    expect(refused).toEqual(refused.map(() => ({ error: { code: 'OVERLOADED', message: expect.any(String) } })));
    release();
    expect(await Promise.all(asked.slice(0, 3))).toEqual([{ ok: null }, { ok: null }, { ok: null }]);
    await few.close();
  });

  test('are answered over a connection of the caller, which stays open', async () => {
    const own = await connect({ servers: nats.url });
    const over = answerNatsCommands({ cache, connection: own, subject: 'own' });
    await over.ready;
    expect(await ask({ type: 'context.keys' }, 'own')).toEqual({ ok: [] });
    await over.close();
    expect(own.isClosed()).toBe(false);
    // The flush proves that the server has the subscription.
    await own.flush();
    await expect(ask({ type: 'context.keys' }, 'own')).rejects.toThrow(/no responders/i);
    await own.close();
  });

  test('need a valid url or a connection', () => {
    expect(() => answerNatsCommands({ cache })).toThrow(/url or a connection/);
    expect(() => answerNatsCommands({ cache, url: 'http://x' })).toThrow(/NATS URL/);
  });
});

test('a responder that cannot connect reports it once, retries, and can be closed', async () => {
  const cache = new AgentContextCache({ natsUrl: null });
  const errors: Error[] = [];
  const commands = answerNatsCommands({ cache, url: 'nats://127.0.0.1:1', onError: (error) => errors.push(error) });
  await waitFor(() => expect(errors).toHaveLength(1));
  await commands.close();
  expect(errors).toMatchObject([{ code: 'UNREACHABLE' }]);
  await cache.shutdown();
});

test('a responder whose server is paused can be closed', async () => {
  await using paused = await startNats({ jetstream: false });
  const cache = new AgentContextCache({ natsUrl: null });
  const commands = answerNatsCommands({ cache, url: paused.url });
  await commands.ready;
  paused.pause();
  await commands.close();
  await cache.shutdown();
});

describe('the command line', () => {
  const newDir = async () => join(await tempDir('cli'), 'data');
  const input = Array.from({ length: 300 }, (_, index) => setLine(`k${index}`, index, { agent: 'me' })).join('');

  test('apply broadcasts to its topics, and ends when everything is delivered', async () => {
    const dataDir = await newDir();
    const listener = await subscribeRaw(nats.url, ['cli.one', 'cli.two']);
    const args = [
      'apply',
      '--nats',
      nats.url,
      '--topic',
      'cli.one',
      '--topic',
      'cli.two',
      '--data-dir',
      dataDir,
      '--json',
    ];
    const { code, stdout, stderr } = await run(args, { input, env: { SUBJECT_ID: 'agent-7' } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ updates: 300, undelivered: [] });
    await listener.flush();
    for (const topic of ['cli.one', 'cli.two']) {
      const got = listener.messages
        .filter(({ subject }) => subject === topic)
        .map(({ payload }) => JSON.parse(payload));
      expect(got.map(({ event_data }) => event_data.key)).toEqual(
        Array.from({ length: 300 }, (_, index) => `k${index}`),
      );
      expect(got[0]).toMatchObject({
        event_type: 'context_update',
        sender_subject_id: 'agent-7',
        event_data: { operation: 'set', namespace: 'default', key: 'k0', value: 0 },
      });
    }
    listener.close();
    expect((await run(['topics', '--json', '--data-dir', dataDir])).stdout).toBe('["cli.one","cli.two"]\n');
  });

  test('apply ends with 5 if it could not deliver, and a later apply delivers the rest', async () => {
    const dataDir = await newDir();
    const to = (url: string) => [
      'apply',
      '--nats',
      url,
      '--topic',
      'cli.late',
      '--drain-timeout',
      '300ms',
      '--data-dir',
      dataDir,
    ];
    const failed = await run([...to('nats://127.0.0.1:1'), '--json'], { input });
    expect(failed.code).toBe(5);
    expect(JSON.parse(failed.stdout).undelivered).toMatchObject([{ follower: 'broadcaster', updates: 300 }]);
    const last = jsonLines<{ error: unknown }>(failed.stderr).at(-1);
    expect(last?.error).toEqual({ code: 'UNREACHABLE', message: expect.stringContaining('300 updates') });
    const listener = await subscribeRaw(nats.url, ['cli.late']);
    const args = to(nats.url).map((arg) => (arg === '300ms' ? '60s' : arg));
    expect(await run(args, { input: setLine('more', 1) })).toMatchObject({ code: 0 });
    await listener.flush();
    expect(listener.messages).toHaveLength(301);
    listener.close();
  });

  test('without --nats nothing is broadcast, whatever the environment says', async () => {
    const dataDir = await newDir();
    const env = { NATS_URL: nats.url };
    const listener = await subscribeRaw(nats.url, ['cli.quiet']);
    await run(['set', 'k', '1', '--data-dir', dataDir], { env });
    await run(['topics', 'add', 'cli.quiet', '--data-dir', dataDir], { env });
    expect(await run(['apply', '--data-dir', dataDir], { env, input })).toMatchObject({ code: 0 });
    await listener.flush();
    expect(listener.messages).toEqual([]);
    expect(await run(['apply', '--nats', '--data-dir', dataDir], { env, input: '' })).toMatchObject({ code: 0 });
    await listener.flush();
    expect(listener.messages).toHaveLength(300);
    listener.close();
  });

  test('serve --nats answers requests and broadcasts, and reports undelivered updates at the end', async () => {
    const dataDir = await newDir();
    await using away = await startNats({ jetstream: false });
    const args = [
      '--nats',
      away.url,
      '--commands-subject',
      'cli.commands',
      '--topic',
      'cli.live',
      '--drain-timeout',
      '200ms',
    ];
    const server = await serve(dataDir, args);
    const listener = await subscribeRaw(away.url, ['cli.live']);
    const client = await connect({ servers: away.url });
    await waitFor(async () => {
      const reply = await client.request('cli.commands', JSON.stringify({ type: 'context.set', key: 'k', value: 1 }));
      expect(reply.json()).toMatchObject({ ok: { changed: true } });
    });
    expect(await run(['get', 'k', '--data-dir', dataDir])).toMatchObject({ code: 0, stdout: '1\n' });
    await waitFor(() => expect(listener.messages.length).toBeGreaterThan(0));
    await client.close();
    listener.close();
    await away.stop();
    await run(['set', 'later', '1', '--data-dir', dataDir]);
    const { code, stderr } = await server.end();
    expect(code).toBe(0);
    expect(stderr).toContain('the next start continues there');
  });
});
