import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { createAgentToken, readAgentTokens, revokeAgentToken } from '../../src/wire/agent-tokens.ts';
import { PING_MS } from '../../src/wire/socket-protocol.ts';
import { simulatedClock } from '../support/cache.ts';
import { run, setLine, waitFor } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { JSON_BODY, send, sendCommand } from '../support/http.ts';
import { tempDir } from '../support/temp-dir.ts';

const PLANNER = 'planner-planner-planner';
const BOOKER = 'booker-booker-booker';

describe('the token of an agent', () => {
  test('names the writer of everything that is written with it, whatever the request says', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const server = await startServer(cache, { agentTokens: { planner: PLANNER, booker: BOOKER } });
    await using planner = await connect(server.url, { token: PLANNER });
    await using booker = await connect(server.url, { token: BOOKER });
    expect([planner.agent, booker.agent]).toEqual(['planner', 'booker']);
    await planner.set('set', 1, 'space', { agent: 'forged' });
    await planner.setMany({ many: 1 }, 'space');
    await planner.batch([{ operation: 'set', key: 'batch', value: 1 }], 'space', { agent: 'forged' });
    await planner.update('update', () => 1, 'space', { agent: 'forged' });
    await planner.getOrSet('getOrSet', () => 1, 'space');
    await planner.ask({ type: 'context.set', key: 'ask', value: 1, namespace: 'space', agent: 'forged' });
    const over = (token: string) => ({ port: server.port, token });
    const command = { type: 'context.set', namespace: 'space', key: 'http', value: 1, agent: 'forged' };
    expect(await sendCommand(over(PLANNER), command)).toMatchObject({ status: 200 });
    const body = setLine('apply', 1, { namespace: 'space', agent: 'forged' });
    expect(await send(over(PLANNER), '/v1/apply', { method: 'POST', headers: JSON_BODY, body })).toMatchObject({
      status: 200,
    });
    expect(cache.entries('space').map(({ key, agent }) => [key, agent])).toEqual(
      ['set', 'many', 'batch', 'update', 'getOrSet', 'ask', 'http', 'apply'].map((key) => [key, 'planner']),
    );
    await booker.delete('set', 'space');
    await booker.clearNamespace('space');
    for await (const { position, agent } of cache.readLog({ from: 9 })) expect([position, agent]).toContain('booker');
    await using owner = await connect(server.url, { token: server.token });
    await owner.set('own', 1, 'space', { agent: 'whoever' });
    expect([owner.agent, cache.entry('own', 'space')?.agent]).toEqual([null, 'whoever']);
  });

  test('does not open an inspector, whose edits would have another name', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const server = await startServer(cache, { agentTokens: { planner: PLANNER } });
    const given = { method: 'POST', headers: JSON_BODY, body: '{}' };
    const reply = await send({ port: server.port, token: PLANNER }, '/v1/inspect', given);
    expect(reply).toEqual({ status: 403, body: expect.stringContaining('FORBIDDEN') });
  });

  test('is refused when it is too short, or stands for two', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    for (const options of [
      { token: 'short' },
      { agentTokens: { planner: 'with space and more' } },
      { agentTokens: { planner: PLANNER, booker: PLANNER } },
      { token: PLANNER, agentTokens: { planner: PLANNER } },
      { host: '' },
      { hostNames: ['a/b'] },
      { limits: { maxInFlight: 0 } },
      { limits: { maxInflight: 1 } },
      { porte: 1 },
      { port: 'name of a pipe' },
      { port: 70_000 },
      { port: 1.5 },
      { limits: 5 },
      { limits: null },
      { tls: null },
      { tls: 5 },
      { hostNames: 'cache.example' },
      { agentTokens: null },
      { agentTokens: { ['x'.repeat(1_025)]: PLANNER } },
    ]) {
      await expect(startServer(cache, options as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    await using server = await startServer(cache);
    for (const options of [{ token: 5 }, { token: '' }, { token: 'a\nb' }, { tls: 5 }, { onError: 5 }]) {
      const given = { token: server.token, ...options } as never;
      await expect(connect(server.url, given)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
  });
});

test.each(['::1', 'localhost'])('a server at %s is found by its directory', async (host) => {
  const dataDir = await tempDir('host');
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
  await startServer(cache, { host });
  await using remote = await connect(dataDir);
  expect(await remote.get('a')).toBeUndefined();
});

describe('the tokens in a data directory', () => {
  test('are valid at once, and end the connections of a token that is revoked', async () => {
    const dataDir = await tempDir('tokens');
    await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    const clock = simulatedClock();
    const server = await startServer(cache, { clock });
    await expect(connect(server.url, { token: PLANNER })).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    const token = await createAgentToken(dataDir, 'planner', 1);
    expect(statSync(join(dataDir, 'tokens.json')).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(readAgentTokens(dataDir))).not.toContain(token);
    await using planner = await connect(dataDir, { token, onError: () => {} });
    await planner.set('a', 1);
    expect(cache.entry('a')?.agent).toBe('planner');
    expect(await revokeAgentToken(dataDir, 'planner')).toBe(true);
    expect(await revokeAgentToken(dataDir, 'planner')).toBe(false);
    clock.increment(PING_MS);
    await waitFor(() => expect(planner.connection).toBe('closed'));
    await expect(planner.get('a')).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
  });

  test('admit nobody while the file is damaged', async () => {
    const dataDir = await tempDir('tokens');
    await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    await startServer(cache);
    const token = await createAgentToken(dataDir, 'planner', 1);
    writeFileSync(join(dataDir, 'tokens.json'), '{"version":2}');
    await expect(connect(dataDir, { token })).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(() => readAgentTokens(dataDir)).toThrow('tokens.json');
    await using owner = await connect(dataDir);
    expect(await owner.get('a')).toBeUndefined();
  });

  test('are created, listed and revoked on the command line', async () => {
    await buildDist();
    const dataDir = await tempDir('tokens');
    const of = (...args: string[]) => run(['token', '--data-dir', dataDir, ...args]);
    expect(await of('--agent', 'planner')).toMatchObject({ code: 3 });
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    await startServer(cache);
    const created = await of('--agent', 'planner');
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[A-Za-z0-9_-]{43}\n$/) });
    await using planner = await connect(dataDir, { token: created.stdout.trim() });
    await planner.set('a', 1);
    expect(cache.entry('a')?.agent).toBe('planner');
    expect(JSON.parse((await of('--json')).stdout)).toMatchObject({ agent: 'planner' });
    expect(await of('--revoke')).toMatchObject({ code: 2 });
    expect(await of('--agent', 'planner', '--revoke')).toMatchObject({ code: 0 });
    expect(await of('--agent', 'planner', '--revoke')).toMatchObject({ code: 3 });
    await cache.shutdown();
  });
});
