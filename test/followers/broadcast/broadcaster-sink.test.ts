import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SimulatedClock } from 'xstate';
import { parsePublicMessage } from '../../../src/followers/broadcast/parse-public-message.ts';
import { firstSeen, LOG, positionsOn, type Rig, range, rig, updateOf, updatesFrom } from '../../support/broadcast.ts';
import { subscribeRaw } from '../../support/nats-wire.ts';
import { freePort } from '../../support/server-process.ts';
import { type NatsOptions, startNats, type TestServer } from '../../support/servers.ts';
import { eventually, passing } from '../../support/waiting.ts';

async function server(options: NatsOptions = {}): Promise<TestServer> {
  const nats = await startNats({ jetstream: false, ...options });
  onTestFinished(() => nats[Symbol.asyncDispose]());
  return nats;
}

async function subscriber(url: string, subjects: readonly string[]) {
  const raw = await subscribeRaw(url, subjects);
  onTestFinished(() => raw.close());
  return raw;
}

function using(made: Rig): Rig {
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

describe('what subscribers get', () => {
  it('every update on every topic, in order, as the public message', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['a', 'b.c']);
    const { sink, connect, deliver } = using(rig(['a', 'b.c'], { url: nats.url }));
    expect(await connect()).toBe('resume');
    await deliver(updatesFrom(1, 1500));
    await deliver(updatesFrom(1501, 1502));
    await raw.flush();
    for (const topic of ['a', 'b.c']) expect(positionsOn(raw, topic)).toEqual(range(1, 1502));
    expect(raw.messages.map(({ payload }) => parsePublicMessage(payload).event_data)).toEqual(
      range(1, 1502).flatMap((n) => Array(2).fill({ operation: 'set', namespace: 'ns', key: `k${n}`, value: n })),
    );
    expect(raw.messages[0]?.headers).toContain(`Nats-Msg-Id: ${LOG}-1:a\r\n`);
    expect(sink.published).toBe(3004);
    expect(Object.fromEntries(sink.lastPublished)).toEqual({ a: 1502, 'b.c': 1502 });
  });

  it('nothing of a touch', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['a']);
    const { connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver([updateOf({ position: 1, operation: 'touch' }), updateOf({ position: 2, operation: 'delete' })]);
    await raw.flush();
    expect(positionsOn(raw, 'a')).toEqual([2]);
  });
});

describe('topics that change', () => {
  it('while running: each gets what comes after it was added, until it is removed', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['a', 'b']);
    const { topics, connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 3));
    topics.add('b', 5);
    await deliver(updatesFrom(4, 7));
    topics.remove('a');
    await deliver(updatesFrom(8, 9));
    await raw.flush();
    expect(positionsOn(raw, 'a')).toEqual(range(1, 7));
    expect(positionsOn(raw, 'b')).toEqual(range(6, 9));
  });

  it('none: nothing is connected to and everything is delivered at once; one that is added connects', async () => {
    const nats = await server();
    const { topics, pusher, sink, connect, deliver } = using(rig([], { url: nats.url }));
    const nowhere = using(rig([], { url: `nats://127.0.0.1:${await freePort()}` }));
    expect(await nowhere.connect()).toBe('resume');
    await nowhere.deliver(updatesFrom(1, 2));
    await connect();
    await deliver(updatesFrom(1, 2));
    expect(pusher.connected).toBe(false);
    const raw = await subscriber(nats.url, ['a']);
    topics.set(['a'], 2);
    await deliver(updatesFrom(1, 3));
    await raw.flush();
    expect(positionsOn(raw, 'a')).toEqual([3]);
    expect(sink.published).toBe(1);
  });

  it('to none: the connection is closed, without being called lost', async () => {
    const nats = await server();
    const { topics, pusher, sink, connect, deliver } = using(rig(['a'], { url: nats.url }));
    const lost = vi.fn();
    sink.onLost(lost);
    await connect();
    await deliver(updatesFrom(1, 1));
    expect(pusher.connected).toBe(true);
    topics.set([], 1);
    expect(pusher.connected).toBe(false);
    await deliver(updatesFrom(2, 2));
    expect(pusher.connected).toBe(false);
    expect(lost).not.toHaveBeenCalled();
  });
});

describe('a server that fails', () => {
  it('stopped and started again: the batch fails, comes again after connect, and nothing is missing', async () => {
    const nats = await server();
    const { sink, connect, deliver } = using(rig(['a', 'b'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 10));
    await nats.stop();
    await expect(deliver(updatesFrom(11, 20))).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await sink.disconnect();
    await expect(connect()).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await nats.restart();
    const raw = await subscriber(nats.url, ['a', 'b']);
    await connect();
    await deliver(updatesFrom(11, 20));
    await deliver(updatesFrom(21, 30));
    await raw.flush();
    for (const topic of ['a', 'b']) expect(positionsOn(raw, topic)).toEqual(range(11, 30));
  });

  it('paused: the batch fails at its deadline; resumed, a receiver that drops repeats has all in order', async () => {
    const nats = await server();
    const raw = await subscriber(nats.url, ['a']);
    const clock = new SimulatedClock();
    const { sink, connect, deliver } = using(rig(['a'], { url: nats.url, clock }));
    await connect();
    await deliver(updatesFrom(1, 700));
    nats.pause();
    await expect(passing(clock, deliver(updatesFrom(701, 2000)))).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await sink.disconnect();
    await expect(passing(clock, connect())).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await sink.disconnect();
    nats.resume();
    await eventually(connect);
    await deliver(updatesFrom(701, 2000));
    await deliver(updatesFrom(2001, 2100));
    await raw.flush();
    expect(firstSeen(positionsOn(raw, 'a'))).toEqual(range(1, 2100));
  });

  it('that does not permit a topic: the rejection names it', async () => {
    const config = 'authorization { users: [{ user: u, password: p, permissions: { publish: ["a"] } }] }';
    const nats = await server({ config });
    const { topics, sink, connect, deliver } = using(
      rig(['a', 'forbidden'], { url: nats.url.replace('//', '//u:p@') }),
    );
    await connect();
    await expect(deliver(updatesFrom(1, 3))).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining('"forbidden"'),
    });
    await sink.disconnect();
    topics.remove('forbidden');
    await connect();
    await deliver(updatesFrom(1, 3));
    expect(Object.fromEntries(sink.lastPublished)).toEqual({ a: 3 });
  });
});

describe('sizes', () => {
  it('a value over max_payload is announced without it and counted; the rest goes on', async () => {
    const nats = await server({ config: 'max_payload: 4096' });
    const raw = await subscriber(nats.url, ['a', 'b']);
    const { sink, errors, connect, deliver } = using(rig(['a', 'b'], { url: nats.url }));
    await connect();
    const large = 'ü'.repeat(5000);
    const updates = [1, 2, 3].map((position) => updateOf({ position, value: position === 2 ? large : position }));
    await deliver(updates);
    await raw.flush();
    for (const topic of ['a', 'b']) expect(positionsOn(raw, topic)).toEqual([1, 2, 3]);
    const second = raw.messages.map(({ payload }) => parsePublicMessage(payload)).filter((m) => m.position === 2);
    expect(second).toHaveLength(2);
    expect(second[0]).toMatchObject({ event_data: { value: null }, value_omitted: true, value_bytes: 10_002 });
    expect([sink.valuesOmitted, sink.undeliverable, errors]).toEqual([1, 0, []]);
    await deliver(updates);
    expect(sink.valuesOmitted).toBe(1);
  });

  it('the largest message that fits is sent whole, one byte more is not', async () => {
    const nats = await server({ config: 'max_payload: 4096' });
    const raw = await subscriber(nats.url, ['a']);
    const { pusher, sink, connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver([updateOf({ position: 1, value: '' })]);
    await raw.flush();
    const empty = Buffer.byteLength(String(raw.messages[0]?.payload));
    const room = pusher.payloadLimit('a', `${LOG}-2`) - empty;
    await deliver([updateOf({ position: 2, value: 'x'.repeat(room) })]);
    expect(sink.valuesOmitted).toBe(0);
    await deliver([updateOf({ position: 3, value: 'x'.repeat(room + 1) })]);
    expect(sink.valuesOmitted).toBe(1);
    expect(sink.published).toBe(3);
  });

  it('an update too large even without its value is told to onError, and the rest goes on', async () => {
    const nats = await server({ config: 'max_payload: 1024' });
    const raw = await subscriber(nats.url, ['a']);
    const { sink, errors, connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    const key = 'secret'.repeat(170);
    await deliver([updateOf({ position: 1 }), updateOf({ position: 2, key }), updateOf({ position: 3 })]);
    await raw.flush();
    expect(positionsOn(raw, 'a')).toEqual([1, 3]);
    expect(sink.undeliverable).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]?.message).toMatch(/position 2 .*max_payload/);
    expect(errors[0]?.message).not.toContain('secret');
  });

  it('values of many megabytes go through in pieces', async () => {
    const nats = await server({ config: 'max_payload: 8MB' });
    const raw = await subscriber(nats.url, ['a']);
    const { connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    const value = 'x'.repeat(3 * 1024 * 1024);
    await deliver(range(1, 12).map((position) => updateOf({ position, value })));
    await raw.flush();
    expect(positionsOn(raw, 'a')).toEqual(range(1, 12));
  });
});

it('an idle connection that breaks is told', async () => {
  const nats = await server();
  const { sink, connect } = using(rig(['a'], { url: nats.url }));
  const lost = vi.fn();
  sink.onLost(lost);
  await connect();
  await nats.kill();
  await eventually(() => expect(lost).toHaveBeenCalledTimes(1));
});
