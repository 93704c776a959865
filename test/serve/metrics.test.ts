import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { type CacheServer, startServer } from '../../src/serve/cache-server.ts';
import { prometheusText } from '../../src/wire/prometheus.ts';
import { send } from '../support/http.ts';
import { type Exposition, parseExposition, textOf } from '../support/prometheus.ts';
import { fcOptions } from '../support/property.ts';
import { findProgram } from '../support/server-process.ts';

let cache: AgentContextCache;
let server: CacheServer;
let text: string;
let metrics: Exposition;

beforeAll(async () => {
  cache = new AgentContextCache({ natsUrl: null, secondaryCache: new InMemoryContextCache() });
  server = await startServer(cache, { agentTokens: { planner: 'P'.repeat(43) } });
  for (let i = 0; i < 2_000; i += 1) cache.get(`secret-key-${i}`, 'secret-namespace');
  await cache.set('secret-key', 'secret-value'.repeat(10), 'secret-namespace');
  cache.get('secret-key', 'secret-namespace');
  await expect(cache.set('secret-key', 1, 'secret-namespace', { ifVersion: 9 })).rejects.toThrow();
  await cache.synced();
  await using _client = await connect(server.url, { token: server.token });
  const reply = await send(server, '/metrics');
  expect(reply.status).toBe(200);
  text = reply.body;
  metrics = parseExposition(text);
});
afterAll(async () => {
  await server.close();
  await cache.shutdown();
});

const value = (series: string) => metrics.values.get(`agent_context_cache_${series}`);

describe('GET /metrics', () => {
  test('answers in the text format of Prometheus, as a strict parser reads it', () => {
    expect(value('commands_total{command="context.get"}')).toBe(2_001);
    expect(value('command_failures_total{command="context.set"}')).toBe(1);
    expect(value('failures_total{code="VERSION_CONFLICT"}')).toBe(1);
    expect(value('hits_total')).toBe(1);
    expect(value('misses_total')).toBe(2_000);
    expect(value('conflicts_total')).toBe(1);
    expect(value('written_bytes_total')).toBeGreaterThan(100);
    expect(value('status{status="ok"}')).toBe(1);
    expect(value('server_clients')).toBe(1);
    expect(value('log_committed_updates_total')).toBe(1);
    expect(value('follower_lag_updates{follower="mirror"}')).toBe(0);
    expect(value('follower_state{follower="mirror",state="following"}')).toBe(1);
    expect(metrics.types.get('agent_context_cache_command_duration_seconds')).toBe('histogram');
  });

  test('has histograms whose buckets grow and whose samples stand for all commands', () => {
    const name = 'agent_context_cache_command_duration_seconds';
    const buckets = [...metrics.values].filter(([series]) => series.startsWith(`${name}_bucket{command="context.get"`));
    expect(buckets.length).toBeGreaterThan(10);
    const counts = buckets.map(([, count]) => count);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(buckets.at(-1)?.[0]).toContain('le="+Inf"');
    expect(buckets.at(-1)?.[1]).toBe(metrics.values.get(`${name}_count{command="context.get"}`));
    // The first 1,024 are measured, and of the 977 others one in 64.
    expect(buckets.at(-1)?.[1]).toBe(1_024 + 15 * 64);
  });

  test('names no key and no value, and namespaces only if that was asked for', async () => {
    expect(text).not.toMatch(/secret/);
    const named = parseExposition((await send(server, '/metrics?namespaces=1')).body);
    expect(named.values.get('agent_context_cache_namespace_keys{namespace="secret-namespace"}')).toBe(1);
    const all = [...named.values.keys()].filter((series) => series.includes('namespace_keys'));
    expect(all).toHaveLength(1);
  });

  test('has as many series after ten times as many keys and namespaces', async () => {
    for (let i = 0; i < 100; i += 1) await cache.set(`key-${i}`, i, `namespace-${i}`);
    const later = parseExposition((await send(server, '/metrics')).body);
    expect(later.values.size).toBe(metrics.values.size);
  });

  test('is told a wrong option', async () => {
    for (const query of ['namespaces=x', 'namespaces=1001', 'namespace=trip']) {
      const { status, body } = await send(server, `/metrics?${query}`);
      expect(status).toBe(400);
      expect(JSON.parse(body).error.code).toBe('INVALID_OPTION');
    }
  });

  test('needs a token like every address; the token of an agent will do', async () => {
    expect((await send(server, '/metrics', { headers: { authorization: '' } })).status).toBe(401);
    const agent = { authorization: `Bearer ${'P'.repeat(43)}` };
    expect((await send(server, '/metrics', { headers: agent })).status).toBe(200);
    expect((await send(server, '/metrics', { method: 'POST' })).status).toBe(405);
  });

  const promtool = findProgram('promtool', process.env.PROMTOOL);
  test.skipIf(promtool === undefined)(
    'passes promtool (skipped without promtool of the package prometheus)',
    async () => {
      const named = await send(server, '/metrics?namespaces=1000');
      for (const input of [text, named.body]) {
        const { status, stdout, stderr } = spawnSync(promtool as string, ['check', 'metrics'], {
          input,
          encoding: 'utf8',
        });
        expect(`${stdout}${stderr}`).toBe('');
        expect(status).toBe(0);
      }
      const broken = spawnSync(promtool as string, ['check', 'metrics'], { input: `${text}x{ 1\n`, encoding: 'utf8' });
      expect(broken.status).not.toBe(0);
    },
  );
});

/** Any text, and often the characters that the format escapes. */
const TEXT = fc.string({
  unit: fc.oneof(fc.constantFrom('"', '\\', '\n', '{', '}', ',', '='), fc.string({ unit: 'binary', maxLength: 1 })),
});

test('any label can be read back (property)', () => {
  const name = 'agent_context_cache_namespace_keys';
  fc.assert(
    fc.property(TEXT, TEXT, (label, help) => {
      const family = { name, help, type: 'gauge', samples: [{ labels: { namespace: label }, value: 3 }] };
      const read = parseExposition(prometheusText([family]));
      expect([...read.values]).toEqual([[`${name}{namespace=${textOf(label)}}`, 3]]);
    }),
    fcOptions(),
  );
});

test.each([
  ['a line without its type', 'a 1\n'],
  ['a series twice', '# HELP a x\n# TYPE a gauge\na 1\na 1\n'],
  ['a metric in two places', '# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{x="1"} 1\n'],
  ['a counter without _total', '# HELP a x\n# TYPE a counter\na 1\n'],
  ['a number that is none', '# HELP a x\n# TYPE a gauge\na one\n'],
  ['an open label', '# HELP a x\n# TYPE a gauge\na{b="c} 1\n'],
  ['a last line without an end', '# HELP a x\n# TYPE a gauge\na 1'],
])('the strict parser refuses %s', (_, wrong) => {
  expect(() => parseExposition(wrong)).toThrow();
});
