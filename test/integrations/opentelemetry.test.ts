import { type Attributes, context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { startTelemetry, type Telemetry, type TelemetryOptions } from '../../src/opentelemetry.ts';
import { startServer } from '../../src/server.ts';
import { closing } from '../support/cache.ts';

const spans = new InMemorySpanExporter();
const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
// Registers the context manager, by which spans find their parents.
beforeAll(() => tracerProvider.register());
afterAll(() => tracerProvider.shutdown());

const metrics = new InMemoryMetricExporter(AggregationTemporality.DELTA);
const reader = new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 3_600_000 });
const meterProvider = new MeterProvider({ readers: [reader] });
afterAll(() => meterProvider.shutdown());

let telemetry: Telemetry | undefined;
async function start(options: TelemetryOptions = {}): Promise<Telemetry> {
  telemetry = await startTelemetry({ tracerProvider, meterProvider, ...options });
  return telemetry;
}
beforeEach(async () => {
  await meterProvider.forceFlush();
  spans.reset();
  metrics.reset();
});
afterEach(() => telemetry?.stop());

const named = (name: string): ReadableSpan => {
  const found = spans.getFinishedSpans().filter((span) => span.name === name);
  expect(found.map((span) => span.name)).toEqual([name]);
  return found[0] as ReadableSpan;
};

interface Point {
  readonly name: string;
  readonly unit: string;
  readonly attributes: Attributes;
  readonly count: number;
  readonly bounds: readonly number[];
}

async function points(): Promise<Point[]> {
  await meterProvider.forceFlush();
  return metrics.getMetrics().flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap((scope) =>
      scope.metrics.flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => {
          const { count, buckets } = value as { count: number; buckets: { boundaries: number[] } };
          return { name: descriptor.name, unit: descriptor.unit, attributes, count, bounds: buckets.boundaries };
        }),
      ),
    ),
  );
}

describe('commands become spans', () => {
  test('with the attributes of the database and memory conventions', async () => {
    await start({ channels: ['command'] });
    const cache = closing(new AgentContextCache());
    await cache.set('secret-key', 'secret-value', 'trip', { agent: 'planner' });
    const { attributes, kind, status, instrumentationScope } = named('set trip');
    expect(attributes).toEqual({
      'db.system.name': 'agent-context-cache',
      'db.operation.name': 'set',
      'db.namespace': 'trip',
      'gen_ai.operation.name': 'upsert_memory',
      'gen_ai.memory.store.id': 'trip',
      'gen_ai.memory.record.count': 1,
      'gen_ai.agent.name': 'planner',
    });
    expect({ kind, status: status.code }).toEqual({ kind: SpanKind.INTERNAL, status: SpanStatusCode.UNSET });
    expect(instrumentationScope.name).toBe('agent-context-cache');
  });

  test.each<[string, (cache: AgentContextCache) => unknown, string, Attributes]>([
    ['a read', (cache) => cache.get('a', 'trip'), 'get trip', search(1)],
    ['a read that finds nothing', (cache) => cache.get('x', 'trip'), 'get trip', search(0)],
    ['a read of several', (cache) => cache.getMany(['a', 'b', 'x'], 'trip'), 'getMany trip', search(2)],
    ['all entries', (cache) => cache.entries('trip'), 'entries trip', search(2)],
    [
      'a write of a new key',
      (cache) => cache.set('c', 1, 'trip', { ifVersion: 0 }),
      'set trip',
      { 'gen_ai.operation.name': 'create_memory' },
    ],
    [
      'a write over a version',
      (cache) => cache.set('a', 1, 'trip', { ifVersion: 1 }),
      'set trip',
      { 'gen_ai.operation.name': 'update_memory' },
    ],
    [
      'a touch',
      (cache) => cache.touch('a', 'trip', { ttl: '1h' }),
      'touch trip',
      { 'gen_ai.operation.name': 'update_memory' },
    ],
    ['a removal', (cache) => cache.delete('a', 'trip'), 'delete trip', { 'gen_ai.operation.name': 'delete_memory' }],
    [
      'a batch of one kind',
      (cache) => cache.setMany({ c: 1, d: 2 }, 'trip'),
      'BATCH set trip',
      { 'db.operation.batch.size': 2, 'gen_ai.memory.record.count': 2, 'gen_ai.operation.name': 'upsert_memory' },
    ],
    [
      'a batch of two kinds',
      (cache) =>
        cache.batch(
          [
            { operation: 'set', key: 'c', value: 1 },
            { operation: 'delete', key: 'a' },
          ],
          'trip',
        ),
      'BATCH trip',
      { 'db.operation.name': 'BATCH', 'db.operation.batch.size': 2 },
    ],
    [
      'a batch of one',
      (cache) => cache.setMany({ c: 1 }, 'trip'),
      'set trip',
      { 'db.operation.batch.size': undefined },
    ],
    [
      'clearing',
      (cache) => cache.clearNamespace('trip'),
      'clear trip',
      { 'gen_ai.operation.name': 'delete_memory', 'gen_ai.memory.record.count': undefined },
    ],
    [
      'dropping',
      (cache) => cache.dropNamespace('trip'),
      'drop trip',
      { 'gen_ai.operation.name': 'delete_memory_store' },
    ],
    [
      'a command about the cache',
      (cache) => cache.ask({ type: 'cache.flush' }),
      'cache.flush',
      { 'gen_ai.operation.name': undefined, 'db.namespace': undefined },
    ],
  ])('%s', async (_, run, name, attributes) => {
    const cache = closing(new AgentContextCache());
    await cache.setMany({ a: 1, b: 2 }, 'trip');
    await start({ channels: ['command'] });
    await run(cache);
    const span = named(name);
    for (const [key, value] of Object.entries(attributes)) expect([key, span.attributes[key]]).toEqual([key, value]);
  });

  test('that fail have the code as status', async () => {
    await start({ channels: ['command'] });
    const cache = closing(new AgentContextCache());
    await expect(cache.set('a', 1, 'trip', { ifVersion: 9 })).rejects.toThrow();
    const { status, attributes } = named('set trip');
    expect(status).toEqual({ code: SpanStatusCode.ERROR, message: 'VERSION_CONFLICT' });
    expect(attributes).toMatchObject({
      'error.type': 'VERSION_CONFLICT',
      'db.response.status_code': 'VERSION_CONFLICT',
    });
  });

  test('with the key only if the cache publishes it', async () => {
    await start({ channels: ['command'] });
    const cache = closing(new AgentContextCache({ monitoring: { details: true } }));
    await cache.set('plan', 1, 'trip');
    expect(named('set trip').attributes['gen_ai.memory.record.id']).toBe('plan');
  });
});

function search(count: number): Attributes {
  return { 'gen_ai.operation.name': 'search_memory', 'gen_ai.memory.record.count': count };
}

describe('traces', () => {
  const tracer = tracerProvider.getTracer('test');

  test('have the active span as parent', async () => {
    await start({ channels: ['command'] });
    const cache = closing(new AgentContextCache());
    await tracer.startActiveSpan('agent', async (span) => {
      await cache.set('a', 1, 'trip');
      span.end();
    });
    const [set, agent] = [named('set trip'), named('agent')];
    expect(set.parentSpanContext?.spanId).toBe(agent.spanContext().spanId);
  });

  test('go on from the traceparent of a write, with a link to the span that is active', async () => {
    await start({ channels: ['command'] });
    const cache = closing(new AgentContextCache());
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await tracer.startActiveSpan('agent', async (span) => {
      await cache.set('a', 1, 'trip', { meta: { traceparent, tracestate: 'x=1' } });
      span.end();
    });
    const [set, agent] = [named('set trip'), named('agent')];
    expect(set.spanContext().traceId).toBe('a'.repeat(32));
    expect(set.parentSpanContext).toMatchObject({ spanId: 'b'.repeat(16), isRemote: true });
    expect(set.parentSpanContext?.traceState?.get('x')).toBe('1');
    expect(set.links.map((link) => link.context.spanId)).toEqual([agent.spanContext().spanId]);
  });

  test.each(['', 'x', `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, 7])(
    'ignore the traceparent %j',
    async (traceparent) => {
      await start({ channels: ['command'] });
      const cache = closing(new AgentContextCache());
      await cache.set('a', 1, 'trip', { meta: { traceparent } });
      expect(named('set trip').parentSpanContext).toBeUndefined();
    },
  );

  test('go on from an agent through its client and the server, and link the delivery', async () => {
    const running = await start();
    const cache = closing(new AgentContextCache({ secondaryCache: new InMemoryContextCache() }));
    await using server = await startServer(cache);
    await using remote = await connect(server.url, { token: server.token });
    await cache.synced();
    spans.reset();
    await tracer.startActiveSpan('agent', async (span) => {
      await remote.set('a', 1, 'trip', { meta: running.meta({ why: 'asked' }) });
      span.end();
    });
    await cache.synced();
    expect(cache.entry('a', 'trip')?.meta).toMatchObject({ why: 'asked' });
    const agent = named('agent').spanContext();
    const sets = spans.getFinishedSpans().filter(({ name }) => name === 'set trip');
    expect(sets.map(({ kind }) => kind).sort()).toEqual([SpanKind.INTERNAL, SpanKind.CLIENT]);
    expect(sets.map((span) => span.spanContext().traceId)).toEqual([agent.traceId, agent.traceId]);
    const client = sets.find(({ kind }) => kind === SpanKind.CLIENT);
    expect(client?.parentSpanContext?.spanId).toBe(agent.spanId);
    expect(client?.attributes).toMatchObject({ 'server.address': '127.0.0.1', 'server.port': server.port });
    const delivered = spans.getFinishedSpans().filter(({ name }) => name === 'deliver mirror');
    expect(delivered.flatMap(({ links }) => links.map((link) => link.context.traceId))).toEqual([agent.traceId]);
  });

  test('name nothing if no span is active', async () => {
    const running = await start();
    expect(running.meta({ why: 'asked' })).toEqual({ why: 'asked' });
    const span = tracer.startSpan('agent');
    const meta = context.with(trace.setSpan(context.active(), span), () => running.meta());
    expect(meta).toEqual({ traceparent: `00-${span.spanContext().traceId}-${span.spanContext().spanId}-01` });
  });
});

test('commits, deliveries and connections become spans', async () => {
  await start();
  const cache = closing(new AgentContextCache({ secondaryCache: new InMemoryContextCache() }));
  await cache.set('a', 'secret-value', 'trip');
  await cache.synced();
  expect(named('commit').attributes).toMatchObject({
    'agent_context_cache.updates': 1,
    'agent_context_cache.last': 1,
    'agent_context_cache.durable': false,
  });
  expect(named('connect mirror').attributes).toMatchObject({ 'agent_context_cache.attempt': 1 });
  const delivered = spans.getFinishedSpans().filter(({ name }) => name === 'deliver mirror');
  expect(delivered.at(-1)?.attributes).toMatchObject({ 'agent_context_cache.through': 1 });
});

describe('metrics', () => {
  test('have the duration of commands by the conventions, without namespaces', async () => {
    await start();
    const cache = closing(new AgentContextCache());
    await cache.set('a', 1, 'trip');
    await cache.set('a', 1, 'trip');
    await expect(cache.set('a', 1, 'trip', { ifVersion: 9 })).rejects.toThrow();
    const commands = (await points()).filter(({ name }) => name === 'db.client.operation.duration');
    expect(commands.map(({ attributes, count, unit }) => ({ attributes, count, unit }))).toEqual([
      { attributes: { 'db.system.name': 'agent-context-cache', 'db.operation.name': 'set' }, count: 2, unit: 's' },
      {
        attributes: {
          'db.system.name': 'agent-context-cache',
          'db.operation.name': 'set',
          'db.response.status_code': 'VERSION_CONFLICT',
          'error.type': 'VERSION_CONFLICT',
        },
        count: 1,
        unit: 's',
      },
    ]);
    expect(commands[0]?.bounds).toEqual([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]);
  });

  test('have namespaces if that was asked for, and durations of followers', async () => {
    await start({ namespaces: true, spans: false });
    const cache = closing(new AgentContextCache({ secondaryCache: new InMemoryContextCache() }));
    await cache.set('a', 1, 'trip');
    await cache.synced();
    const all = await points();
    expect(all.find(({ name }) => name === 'db.client.operation.duration')?.attributes['db.namespace']).toBe('trip');
    const delivery = all.find(({ name }) => name === 'agent_context_cache.delivery.duration');
    expect(delivery?.attributes).toEqual({ 'agent_context_cache.follower': 'mirror' });
    expect(spans.getFinishedSpans()).toEqual([]);
  });

  test('and spans end when telemetry is stopped', async () => {
    const running = await start();
    running.stop();
    const cache = closing(new AgentContextCache());
    await cache.set('a', 1);
    expect(spans.getFinishedSpans()).toEqual([]);
    expect(await points()).toEqual([]);
  });
});

test.each([
  [{ channel: ['command'] }, /startTelemetry has no option channel/],
  [{ channels: ['commands'] }, /There is no channel "commands". Known are command, /],
  [{ channels: 'command' }, /channels must be an array/],
  [{ spans: 1 }, /spans must be true or false/],
  [{ namespaces: 'all' }, /namespaces must be true or false/],
])('refuses %j', async (options, message) => {
  await expect(startTelemetry(options as never)).rejects.toThrow(message);
});
