import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect as connectClient } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Acknowledgements } from '../../../src/followers/broadcast/acknowledgements.ts';
import { ContextUpdateEventPusher } from '../../../src/followers/broadcast/event-pusher.ts';
import { firstSeen, positionsOn, type Rig, range, rig, updateOf, updatesFrom } from '../../support/broadcast.ts';
import { subscribeRaw } from '../../support/nats-wire.ts';
import { type NatsOptions, startNats, type TestServer } from '../../support/servers.ts';

async function server(options: NatsOptions = {}): Promise<TestServer> {
  const nats = await startNats({ jetstream: true, ...options });
  onTestFinished(() => nats[Symbol.asyncDispose]());
  return nats;
}

async function managerOf(url: string, login: { user?: string; pass?: string } = {}): Promise<JetStreamManager> {
  const connection = await connectClient({ servers: url, ...login });
  onTestFinished(() => connection.close());
  return jetstreamManager(connection);
}

function using(made: Rig): Rig {
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

async function addStream(
  manager: JetStreamManager,
  config: Partial<StreamConfig> & { name: string; subjects: string[] },
) {
  await manager.streams.add(config);
}

/** Topic and position of everything a stream holds, in its order. */
async function stored(manager: JetStreamManager, stream: string): Promise<[string, number][]> {
  const { state } = await manager.streams.info(stream);
  const found: [string, number][] = [];
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq += 1) {
    const message = await manager.streams.getMessage(stream, { seq });
    if (message !== null) found.push([message.subject, message.json<{ position: number }>().position]);
  }
  return found;
}

describe('where a stream listens', () => {
  it('it holds every update of both topics exactly once and in order, even when a batch comes twice', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['ctx.>'] });
    const raw = await subscribeRaw(nats.url, ['ctx.a']);
    onTestFinished(() => raw.close());
    const { sink, connect, deliver } = using(rig(['ctx.a', 'ctx.b'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 20));
    await deliver(updatesFrom(11, 40));
    await sink.disconnect();
    await connect();
    await deliver(updatesFrom(31, 60));
    const all = await stored(manager, 'S');
    expect(all).toEqual(
      range(1, 60).flatMap((n) => [
        ['ctx.a', n],
        ['ctx.b', n],
      ]),
    );
    // A plain subscriber gets each from the same publish, and so not twice for one delivery.
    await raw.flush();
    expect(raw.messages).toHaveLength(80);
    expect(firstSeen(positionsOn(raw, 'ctx.a'))).toEqual(range(1, 60));
  });

  it('and plain NATS on another topic of the same list', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['kept'] });
    const raw = await subscribeRaw(nats.url, ['plain']);
    onTestFinished(() => raw.close());
    const { connect, deliver } = using(rig(['kept', 'plain'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 300));
    await raw.flush();
    expect(positionsOn(raw, 'plain')).toEqual(range(1, 300));
    expect((await stored(manager, 'S')).map(([, position]) => position)).toEqual(range(1, 300));
  });

  it('that is full, delivering fails with what the stream says, and works once there is room', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['a'], max_msgs: 5, discard: 'new' } as never);
    const { sink, connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 5));
    await expect(deliver(updatesFrom(6, 7))).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/topic "a" did not store.*maximum messages/),
    });
    await sink.disconnect();
    await manager.streams.purge('S');
    await connect();
    await deliver(updatesFrom(6, 7));
    expect((await stored(manager, 'S')).map(([, position]) => position)).toEqual([6, 7]);
  });

  it('that refuses a message and takes those behind it, all of it comes again in order', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['ctx.a'] });
    const pusher = new ContextUpdateEventPusher({ url: nats.url });
    onTestFinished(() => pusher.disconnect());
    const position = (n: number, length: number) => JSON.stringify({ position: n, filling: 'x'.repeat(length) });
    const messages = [900, 1, 1].map((length, n) => ({ topic: 'ctx.a', id: `log-${n}`, payload: position(n, length) }));
    await pusher.connect();
    await pusher.prepare(['ctx.a']);
    await manager.streams.update('S', { max_msg_size: 500 });
    await expect(pusher.publish(messages)).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    expect((await stored(manager, 'S')).map(([, n]) => n)).toEqual([1, 2]);
    await manager.streams.update('S', { max_msg_size: -1 });
    await pusher.connect();
    await pusher.publish(messages);
    expect((await stored(manager, 'S')).map(([, n]) => n)).toEqual([1, 2, 0, 1, 2]);
    // A message that timed out may be stored, so it keeps its id.
    await pusher.publish(messages);
    expect(await stored(manager, 'S')).toHaveLength(5);
  });

  it('that takes less than the server, a larger value is announced without it', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['a'], max_msg_size: 1000 });
    const { sink, connect, deliver } = using(rig(['a', 'b'], { url: nats.url }));
    await connect();
    await deliver([updateOf({ position: 1, value: 'x'.repeat(2000) }), updateOf({ position: 2 })]);
    expect((await stored(manager, 'S')).map(([, position]) => position)).toEqual([1, 2]);
    expect([sink.valuesOmitted, sink.published]).toEqual([1, 4]);
  });

  it('that never acknowledges, its topic is plain NATS', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['a'], no_ack: true });
    const { connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 3));
    expect((await stored(manager, 'S')).map(([, position]) => position)).toEqual([1, 2, 3]);
  });

  it('that is deleted, delivering fails once and goes on as plain NATS', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['a'] });
    const { sink, connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 3));
    await manager.streams.delete('S');
    await expect(deliver(updatesFrom(4, 6))).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await sink.disconnect();
    await connect();
    await deliver(updatesFrom(4, 6));
    expect(sink.published).toBe(6);
  });

  it('a subscriber that answers messages it should not is not taken for the stream', async () => {
    const nats = await server();
    const manager = await managerOf(nats.url);
    await addStream(manager, { name: 'S', subjects: ['a'], max_msgs: 1, discard: 'new' } as never);
    const careless = await connectClient({ servers: nats.url });
    onTestFinished(() => careless.close());
    const answers = ['', 'thanks', 'null', '{}', '{"error":1}', '[1]'];
    careless.subscribe('a', { callback: (_error, msg) => answers.forEach((answer) => void msg.respond(answer)) });
    await careless.flush();
    const { connect, deliver } = using(rig(['a'], { url: nats.url }));
    await connect();
    await deliver(updatesFrom(1, 1));
    await expect(deliver(updatesFrom(2, 2))).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining('maximum messages'),
    });
  });
});

it('only what a stream says settles an acknowledgement', async () => {
  const nats = await server();
  const open = async () => {
    const connection = await connectClient({ servers: nats.url });
    onTestFinished(() => connection.close());
    return connection;
  };
  const [sender, answerer] = [await open(), await open()];
  const acknowledgements = new Acknowledgements(sender, 'inbox.of.this.test');
  const reply = acknowledgements.expect('a');
  await sender.flush();
  let settled = false;
  const done = acknowledgements.settled().then(() => {
    settled = true;
  });
  for (const answer of ['', 'thanks', 'null', '{}', '{"error":1}', '{"stream":"S"}', '[1]'])
    answerer.publish(reply, answer);
  await answerer.flush();
  await sender.flush();
  expect(settled).toBe(false);
  answerer.publish(reply, '{"stream":"S","seq":1}');
  await done;
});

describe('where JetStream may not be asked', () => {
  it('every topic is plain NATS', async () => {
    const users = [
      '{ user: root, password: r }',
      '{ user: u, password: p, permissions: { publish: ["a"] } }',
      '{ user: v, password: p, permissions: { publish: [">"], subscribe: { deny: [">"] } } }',
    ];
    const nats = await server({ config: `authorization { users: [${users.join(', ')}] }` });
    const manager = await managerOf(nats.url, { user: 'root', pass: 'r' });
    await addStream(manager, { name: 'S', subjects: ['a'] });
    for (const [user, from] of [
      ['u', 1],
      ['v', 11],
    ] as const) {
      const { connect, deliver } = using(rig(['a'], { url: nats.url, connection: { user, pass: 'p' } }));
      await connect();
      await deliver(updatesFrom(from, from + 9));
    }
    expect((await stored(manager, 'S')).map(([, position]) => position)).toEqual(range(1, 20));
  });

  it('or where it is off, or told so', async () => {
    const off = await server({ jetstream: false });
    const on = await server();
    await addStream(await managerOf(on.url), { name: 'S', subjects: ['a'] });
    const raw = await subscribeRaw(on.url, ['a']);
    onTestFinished(() => raw.close());
    const plain = using(rig(['a'], { url: off.url }));
    const told = using(rig(['a'], { url: on.url, jetstream: false }));
    for (const { connect, deliver } of [plain, told]) {
      await connect();
      await deliver(updatesFrom(1, 3));
    }
    await raw.flush();
    expect(raw.messages.map(({ reply }) => reply)).toEqual([undefined, undefined, undefined]);
  });
});
