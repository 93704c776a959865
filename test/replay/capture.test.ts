import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect as connectClient } from '@nats-io/transport-node';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ContextUpdateProcessor as Processor } from '../../src/followers/broadcast/public-message.ts';
import { AgentContextCache, type ContextUpdateProcessor, replay, type Update } from '../../src/index.ts';
import { AIRLINE_UPDATES, airlineLines } from '../support/airline.ts';
import { closing, logOf, simulatedClock } from '../support/cache.ts';
import { type RawMessage, subscribeRaw } from '../support/nats-wire.ts';
import { fcOptions } from '../support/property.ts';
import { anyPast, cacheWith, everythingOf, replayed, smallCache } from '../support/replay.ts';
import { startNats } from '../support/servers.ts';

async function server() {
  const nats = await startNats();
  onTestFinished(() => nats[Symbol.asyncDispose]());
  return nats;
}

async function managerOf(url: string): Promise<JetStreamManager> {
  const connection = await connectClient({ servers: url });
  onTestFinished(() => connection.close());
  return jetstreamManager(connection);
}

/** Returns whether any thread of the process is neither stopped nor dead. */
function isAtWork(pid: number): boolean {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.some(
      (thread) => !/^State:\t[TZX]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
    );
  } catch {
    // A thread has ended while it was inspected.
    return existsSync(`/proc/${pid}/status`);
  }
}

/** Returns what `nats sub` prints for these messages. */
function natsSub(messages: readonly RawMessage[]): string {
  let text = '09:41:07 Subscribing on ctx.> \n';
  for (const [index, { subject, headers, payload, reply }] of messages.entries()) {
    text += `[#${index + 1}] Received on "${subject}"${reply === undefined ? '' : ` with reply "${reply}"`}\n`;
    if (headers !== undefined) text += `${headers.split('\r\n').slice(1).filter(Boolean).join('\n')}\n\n`;
    text += `${payload}\n\n\n`;
  }
  return text;
}

/** Returns the messages of updates, as they appear on a topic. */
function messagesOf(
  updates: readonly Update[],
  processor: Pick<ContextUpdateProcessor, 'process'> = new Processor({ log: 'log-1' }),
): string[] {
  return updates.flatMap((update) =>
    (update.keys ?? [update.key]).flatMap((key) => processor.process(update, key)?.payload.toString() ?? []),
  );
}

/** Returns a message with only the documented fields. */
function bareOf(message: string): string {
  const { event_type, sender_subject_id, event_data } = JSON.parse(message);
  return JSON.stringify({ event_type, sender_subject_id, event_data });
}

const hasNoTouch = (updates: readonly Update[]) => updates.every(({ operation }) => operation !== 'touch');

describe('the recorded agent runs, broadcast on two topics', () => {
  it('give the same cache, captured with nats sub or read from a stream', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await manager.streams.add({ name: 'RUNS', subjects: ['ctx.>'] });
    const raw = await subscribeRaw(nats.url, ['ctx.>']);
    onTestFinished(() => raw.close());
    const topics = ['ctx.a', 'ctx.b'];
    const cache = closing(new AgentContextCache({ natsUrl: nats.url, topics, log: { capacityUpdates: 20_000 } }));
    for (const line of airlineLines()) cache.supervisor.send(JSON.parse(line));
    await cache.synced();
    await raw.flush();
    expect(raw.messages).toHaveLength(2 * AIRLINE_UPDATES);
    const options = { log: { capacityUpdates: 20_000 } };
    const sources = [natsSub(raw.messages).split('\n'), { natsUrl: nats.url, stream: 'RUNS' }];
    for (const source of sources) {
      const { cache: replica, report } = await replayed(source, options);
      expect(everythingOf(replica)).toEqual(everythingOf(cache));
      expect(await logOf(replica)).toEqual(await logOf(cache));
      expect(report).toMatchObject({ updates: AIRLINE_UPDATES, repeated: AIRLINE_UPDATES, problems: {} });
    }
    const one = await replayed({ natsUrl: nats.url, stream: 'RUNS', subject: 'ctx.b' }, options);
    expect(everythingOf(one.cache)).toEqual(everythingOf(cache));
    expect(one.report.repeated).toBe(0);
  });
});

describe('messages of a topic', () => {
  it('of any past without a touch give the same cache, however often they are repeated', async () => {
    const property = fc.asyncProperty(anyPast, fc.array(fc.tuple(fc.nat(), fc.nat())), async (past, again) => {
      const { cache, clock, updates } = await cacheWith(past);
      fc.pre(hasNoTouch(updates));
      const messages = messagesOf(updates);
      // At least once: repeats a part that came before.
      for (const [end, length] of again) {
        const at = end % (messages.length + 1);
        messages.splice(at, 0, ...messages.slice(Math.max(0, at - (length % 5)), at));
      }
      const { cache: replica, report } = await replayed(messages, { clock });
      expect(await logOf(replica)).toEqual(updates);
      expect(everythingOf(replica)).toEqual(everythingOf(cache));
      expect(report).toMatchObject({ updates: updates.length, dropped: 0 });
      // The messages of a clear count together.
      if (!updates.some(({ operation }) => operation === 'clear'))
        expect(report.repeated).toBe(messages.length - updates.length);
    });
    await fc.assert(property, fcOptions(100));
  });

  it('keep expiry, agent, drop and cause', async () => {
    const { updates } = await smallCache();
    const withoutTouch = updates.filter(({ operation }) => operation !== 'touch');
    const { cache, report } = await replayed(messagesOf(updates), { repair: true });
    const facts = ({ operation, key, value, agent, at, expiresAt, drop }: Update) => ({
      operation,
      key,
      value,
      agent,
      at,
      expiresAt,
      drop,
    });
    expect((await logOf(cache)).map(facts)).toEqual(withoutTouch.map(facts));
    expect(report).toMatchObject({ missing: 1, dropped: 0, updates: updates.length - 1, renumberedFrom: 5 });
  });

  it('are refused if one is missing', async () => {
    const messages = messagesOf((await smallCache()).updates.filter(({ operation }) => operation !== 'touch'));
    await expect(replay(messages)).rejects.toMatchObject({
      problem: { kind: 'gap', position: 4 },
      message: expect.stringMatching(/Position 4 is missing: messages were lost.*touch/),
    });
  });

  it('of a clear become one update, and are refused if one is missing', async () => {
    const cache = closing(new AgentContextCache({ natsUrl: null, clock: simulatedClock() }));
    await cache.setMany({ 'm:1': 1, 'm:2': 2, 'm:3': 3, other: 4 }, 'n');
    await cache.clearNamespace('n', { prefix: 'm:', operationId: 'o' });
    await cache.set('m:2', 'again', 'n');
    const updates = await logOf(cache);
    const messages = messagesOf(updates);
    expect(messages.map((text) => JSON.parse(text).position)).toEqual([1, 2, 3, 4, 5, 5, 5, 6]);
    expect(new Set(messages.map((text) => JSON.parse(text).event_id)).size).toBe(8);
    const { cache: replica } = await replayed([...messages.slice(0, 6), ...messages.slice(2)]);
    expect(await logOf(replica)).toEqual(updates);
    expect(await replica.clearNamespace('n', { prefix: 'm:', operationId: 'o' })).toMatchObject({ position: 5 });
    const bare = await replayed(messages.map(bareOf));
    expect(bare.cache.entries('n').map(({ key, value }) => [key, value])).toEqual([
      ['m:2', 'again'],
      ['other', 4],
    ]);
    const lossy = messages.toSpliced(5, 1);
    await expect(replay(lossy)).rejects.toMatchObject({
      problem: { kind: 'gap', position: 5 },
      message: expect.stringContaining('1 of the 3 messages of a clear are missing'),
    });
    const repaired = await replayed(lossy, { repair: true });
    expect(repaired.cache.get('m:1', 'n')).toBeUndefined();
    expect(repaired.report).toMatchObject({ updates: 6, problems: { gap: 1 } });
  });

  it('are refused if the capture began late, and accepted with repair', async () => {
    const messages = messagesOf((await smallCache()).updates.filter(({ operation }) => operation !== 'touch')).slice(5);
    await expect(replay(messages)).rejects.toMatchObject({ problem: { kind: 'gap', line: 1, position: 1 } });
    const { cache } = await replayed(messages, { repair: true });
    expect(cache.get('b', 'y')).toBe('three');
  });

  it('of the bare documented form are numbered in order', async () => {
    const { updates, cache } = await smallCache();
    const messages = messagesOf(updates).map(bareOf);
    const { cache: replica, report } = await replayed(messages);
    expect(report).toMatchObject({ position: messages.length, updates: messages.length, renumberedFrom: undefined });
    expect((await logOf(replica)).map(({ position, at }) => [position, at])).toEqual(
      messages.map((_, index) => [index + 1, 1_000_000]),
    );
    for (const name of cache.listNamespaces()) {
      const values = (each: AgentContextCache) =>
        each
          .entries(name)
          .map(({ key, value }) => [key, value])
          .sort();
      expect(values(replica)).toEqual(values(cache));
    }
    expect((await replayed(messages, { until: 3 })).cache.position).toBe(3);
  });

  it('of two caches, or with and without positions, are refused; with repair only the first kind is used', async () => {
    const { updates } = await smallCache();
    const some = updates.slice(0, 3);
    const messages = messagesOf(some);
    const others = messagesOf(some, new Processor({ log: 'log-2' }));
    for (const stranger of [others[1] ?? '', bareOf(messages[1] ?? '')]) {
      const mixed = messages.toSpliced(2, 0, stranger);
      await expect(replay(mixed)).rejects.toMatchObject({ problem: { kind: 'foreign', line: 3 } });
      const { cache, report } = await replayed(mixed, { repair: true });
      expect(await logOf(cache)).toEqual(some);
      expect(report).toMatchObject({ dropped: 1, problems: { foreign: 1 } });
    }
  });

  it('whose value was too large are refused; with repair no older value remains', async () => {
    const { updates } = await smallCache();
    const processor = new Processor({ log: 'log-1' });
    const messages = messagesOf(updates.slice(0, 3));
    const omitted = processor.withoutValue(updates[2] as Update)?.payload.toString() ?? '';
    const source = messages.with(2, omitted);
    await expect(replay(source)).rejects.toMatchObject({ problem: { kind: 'value-missing', line: 3, position: 3 } });
    const { cache, report } = await replayed(source, { repair: true });
    expect([cache.has('a', 'x'), cache.position]).toEqual([false, 3]);
    expect(report).toMatchObject({ problems: { 'value-missing': 1 }, dropped: 0, renumberedFrom: undefined });
    expect((await logOf(cache))[2]).toMatchObject({ operation: 'evict', version: 2, value: null });
  });

  const bad: [string, (line: string) => string][] = [
    ['cut short', (line) => line.slice(0, -9)],
    ['of another event', (line) => line.replace('context_update', 'other')],
    ['with an unknown operation', (line) => line.replace('"set"', '"merge"')],
    ['with an id that does not fit', (line) => line.replace('log-1-2', 'log-1-3')],
    ['with half of its additions', (line) => line.replace('"version":1,', '')],
    ['and other text', () => 'what is this'],
  ];
  it.each(bad)('%s are refused with their line', async (_name, spoil) => {
    const messages = messagesOf((await smallCache()).updates.slice(0, 3));
    const source = messages.with(1, spoil(messages[1] ?? ''));
    await expect(replay(source)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      problem: { kind: 'unreadable', line: 2 },
    });
  });
});

describe('a stream', () => {
  it('is read to its end at the time of the call, although messages are added and other messages lie in between', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await manager.streams.add({ name: 'S', subjects: ['ctx.>', 'other'] });
    const cache = closing(new AgentContextCache({ natsUrl: nats.url, topics: ['ctx.a'] }));
    const connection = await connectClient({ servers: nats.url });
    onTestFinished(() => connection.close());
    for (let i = 1; i <= 700; i += 1) void cache.set(`k${i % 50}`, i, `n${i % 3}`);
    await cache.synced();
    connection.publish('other', 'not ours');
    await connection.flush();
    const progress: number[] = [];
    const source = { natsUrl: nats.url, stream: 'S', subject: 'ctx.*' };
    const { cache: replica, report } = await replayed(source, {
      onProgress: ({ position }) => {
        progress.push(position);
        for (let i = 0; i < 300; i += 1) void cache.set('later', i);
      },
    });
    expect(report).toMatchObject({ position: 700, repeated: 0 });
    expect(progress.length).toBeGreaterThan(1);
    expect(replica.get('k1', 'n0')).toBe(cache.get('k1', 'n0'));
    await cache.synced();
    await expect(replay({ natsUrl: nats.url, stream: 'S' })).rejects.toMatchObject({
      problem: { kind: 'unreadable', line: 701 },
    });
  });

  it('that is empty, or has nothing of the subject, gives an empty cache', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await manager.streams.add({ name: 'S', subjects: ['ctx.>'] });
    expect((await replayed({ natsUrl: nats.url, stream: 'S' })).report.updates).toBe(0);
    const connection = await connectClient({ servers: nats.url });
    onTestFinished(() => connection.close());
    connection.publish('ctx.b', 'x');
    await connection.flush();
    expect((await replayed({ natsUrl: nats.url, stream: 'S', subject: 'ctx.a' })).report.updates).toBe(0);
  });

  it('of bare messages takes the instants from the server', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await manager.streams.add({ name: 'S', subjects: ['ctx'] });
    const connection = await connectClient({ servers: nats.url });
    onTestFinished(() => connection.close());
    const data = { operation: 'set', namespace: 'n', key: 'k', value: 1 };
    connection.publish(
      'ctx',
      JSON.stringify({ event_type: 'context_update', sender_subject_id: null, event_data: data }),
    );
    await connection.flush();
    const [update] = await logOf((await replayed({ natsUrl: nats.url, stream: 'S' })).cache);
    const stored = await manager.streams.getMessage('S', { seq: 1 });
    expect(update?.at).toBe(stored?.time.getTime());
  });

  it('that does not exist or cannot be reached is refused', async () => {
    const nats = await server();
    await expect(replay({ natsUrl: nats.url, stream: 'NO' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(replay({ natsUrl: nats.url, stream: '' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    nats.pause();
    await expect(replay({ natsUrl: nats.url, stream: 'NO', timeoutMs: 300 })).rejects.toMatchObject({
      code: 'TIMED_OUT',
    });
    nats.resume();
    await nats.kill();
    await expect(replay({ natsUrl: nats.url, stream: 'NO' })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('whose server disappears half-way is an error, not a shorter stream', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await manager.streams.add({ name: 'S', subjects: ['ctx.a'] });
    const cache = closing(new AgentContextCache({ natsUrl: nats.url, topics: ['ctx.a'] }));
    for (let i = 1; i <= 1_000; i += 1) void cache.set(`k${i}`, i);
    await cache.synced();
    await cache.setTopicsList([]);
    for (const stop of [() => nats.pause(), () => nats.kill()]) {
      const { pid } = nats;
      const clock = simulatedClock();
      let ticking: NodeJS.Timeout | undefined;
      const onProgress = () => {
        if (ticking === undefined) void stop();
        // Expires soon, but not before: slowness until here causes no time-out.
        ticking ??= setInterval(() => clock.increment(10_000), 10);
        // A signal takes a while to reach every thread; the rest of the stream takes no longer.
        while (isAtWork(pid));
      };
      const source = { natsUrl: nats.url, stream: 'S', timeoutMs: 30_000 };
      const error = await replay(source, { clock, onProgress }).catch((thrown) => thrown);
      expect(ticking).toBeDefined();
      clearInterval(ticking);
      expect(['TIMED_OUT', 'UNREACHABLE']).toContain(error.code);
      nats.resume();
    }
  });
});
