import type { StreamInfo } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CommandStream } from '../../../src/cluster/command-stream.ts';
import { createJetStream, openJetStream } from '../../../src/cluster/jetstream/open-jetstream.ts';
import { clusterStatus } from '../../../src/cluster/jetstream/stream-status.ts';
import { ContextCacheError } from '../../../src/core/errors.ts';
import { eventually } from '../../support/waiting.ts';
import { message, Received } from '../support/command-stream-suite.ts';
import { copyOf, NatsCluster, type NatsNode } from '../support/nats-cluster.ts';
import { describeOn } from '../support/releases.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const isLong = process.env.CLUSTER === 'long';
/** The long form takes two minutes more. */
const RELEASES = isLong ? (['2.10', '2.15'] as const) : (['2.15'] as const);

const isOrdered = (sequences: readonly number[]) => sequences.every((sequence, index) => sequence === index + 1);

/** Publishes until the stream has acknowledged the message. Returns the codes of failed attempts. */
async function insist(stream: CommandStream, text: string): Promise<Set<string>> {
  const codes = new Set<string>();
  await eventually(async () => {
    try {
      await stream.publish(message(text));
    } catch (error) {
      if (error instanceof ContextCacheError) codes.add(error.code);
      throw error;
    }
  });
  return codes;
}

describeOn(RELEASES, 'a stream whose connection is disturbed', (release) => {
  let servers: NatsCluster;
  let node: NatsNode;
  let count = 0;
  beforeAll(async () => {
    servers = await NatsCluster.start({ program: release.program, size: 1 });
    node = servers.nodes[0] as NatsNode;
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  async function newStream() {
    count += 1;
    const name = `faults-${count}`;
    await createJetStream({ servers: servers.urls, name, replicas: 1 });
    return { name, direct: await openJetStream({ servers: servers.urls, name }) };
  }

  it('goes on without gap or repetition after the connection was cut', async () => {
    await using proxy = await TcpProxy.start(node.port);
    const { name, direct } = await newStream();
    const stream = await openJetStream({ servers: proxy.url, name });
    const got = new Received();
    stream.follow(0, got.receive, got.failed);
    await stream.publish(message('before'));
    await got.holds(1);
    const onTheWay = stream.publish(message('on the way'));
    proxy.set('cut');
    await expect(onTheWay).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await expect(stream.publish(message('not sent'))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    expect(stream.connected).toBe(false);
    for (let index = 0; index < 700; index += 1) await direct.publish(message(`meanwhile ${index}`));
    proxy.set('open');
    await eventually(() => expect(stream.connected).toBe(true));
    await stream.publish(message('after'));
    await eventually(() => expect(got.texts.at(-1)).toBe('after'));
    expect(isOrdered(got.sequences)).toBe(true);
    expect(got.sequences.length).toBeGreaterThanOrEqual(702);
    expect(got.errors).toEqual([]);
    await Promise.all([stream.close(), direct.close()]);
  });

  it('pauses longer and longer if each new connection ends at once', async () => {
    await using proxy = await TcpProxy.start(node.port);
    const { name, direct } = await newStream();
    const stream = await openJetStream({ servers: proxy.url, name });
    proxy.set('cut');
    await eventually(() => expect(stream.connected).toBe(false));
    proxy.set('brief');
    const before = proxy.count;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    // Pauses of 50, 100, 200, 400, 800 and 1,600 ms.
    expect(proxy.count - before).toBeLessThanOrEqual(6);
    await Promise.all([stream.close(), direct.close()]);
  });

  it('leaves a server that no longer answers, and goes on at another', async () => {
    await using held = await TcpProxy.start(node.port);
    await using other = await TcpProxy.start(node.port);
    const { name, direct } = await newStream();
    const stream = await openJetStream({ servers: [held.url, other.url], name });
    const got = new Received();
    stream.follow(0, got.receive, got.failed);
    await stream.publish(message('before'));
    // Whichever it uses: the other one still works.
    held.set('held');
    other.set('held');
    await direct.publish(message('meanwhile'));
    await eventually(() => expect(stream.connected).toBe(false));
    other.set('open');
    await eventually(() => expect(got.texts).toEqual(['before', 'meanwhile']));
    expect(got.errors).toEqual([]);
    await Promise.all([stream.close(), direct.close()]);
  });

  it('reports a setting that a cluster cannot work with, a full stream, and a deleted one', async () => {
    const { name, direct } = await newStream();
    const problems: (string | undefined)[] = [];
    const stream = await openJetStream({ servers: servers.urls, name });
    stream.onProblem = (problem) => problems.push(problem?.message);
    const got = new Received();
    stream.follow(0, got.receive, got.failed);
    await stream.publish(message('a'));
    const update = (settings: object) => servers.manage(({ streams }) => streams.update(`ACC_${name}_0`, settings));
    await update({ max_age: 3_600_000_000_000 });
    await expect(stream.info()).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await expect(stream.info()).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    expect(stream.problem?.code).toBe('BACKEND_FAILED');
    await update({ max_age: 0, max_bytes: 200 });
    await stream.info();
    const large = message('x'.repeat(300));
    await expect(stream.publish(large)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    await update({ max_bytes: 100_000 });
    await stream.publish(large);
    expect(stream.problem).toBeUndefined();
    expect(problems).toEqual([
      expect.stringContaining('has max_age 3600000000000, and a cluster needs 0'),
      undefined,
      expect.stringContaining('maximum bytes exceeded. Purge it up to a snapshot, or raise its max_bytes.'),
      undefined,
    ]);
    await servers.manage(({ streams }) => streams.delete(`ACC_${name}_0`));
    await eventually(() => expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']));
    expect(got.errors[0]?.message).toMatch(/was deleted\. Stop the nodes and refound/);
    expect(problems.at(-1)).toMatch(/There is no stream/);
    await Promise.all([stream.close(), direct.close()]);
  });

  it('reports a stream that was deleted and created again', async () => {
    const { name, direct } = await newStream();
    const got = new Received();
    direct.follow(0, got.receive, got.failed);
    await direct.publish(message('a'));
    await got.holds(1);
    await servers.manage(({ streams }) => streams.delete(`ACC_${name}_0`));
    await createJetStream({ servers: servers.urls, name, replicas: 1 });
    await eventually(() => expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']));
    expect(got.errors[0]?.message).toMatch(/deleted and created again/);
    await direct.close();
  });

  it.each(['idle', 'written by this node', 'written by another node', 'written while it was away'])(
    'reports a stream that was restored from an older copy: %s',
    async (how) => {
      await using proxy = await TcpProxy.start(node.port);
      const { name, direct } = await newStream();
      const stream = await openJetStream({ servers: proxy.url, name });
      const got = new Received();
      stream.follow(0, got.receive, got.failed);
      for (const text of ['a', 'b']) await stream.publish(message(text));
      await node.stop();
      const copy = copyOf(node);
      await node.start();
      for (const text of ['c', 'd', 'e']) await insist(stream, text);
      await eventually(() => expect(got.texts).toContain('e'));
      if (how === 'written while it was away') proxy.set('cut');
      await node.kill();
      copy.restore();
      await node.start();
      const writer = how === 'written by this node' ? stream : direct;
      const writes = how === 'idle' ? 0 : how === 'written while it was away' ? 6 : 1;
      for (let index = 0; index < writes; index += 1) await insist(writer, 'other');
      proxy.set('open');
      await eventually(() => expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']));
      expect(got.errors[0]?.message).toMatch(/older copy|lost its end/);
      expect(got.texts).not.toContain('other');
      await Promise.all([stream.close(), direct.close()]);
    },
  );
});

describeOn(RELEASES, 'a stream on three servers', (release) => {
  let servers: NatsCluster;
  const options = () => ({ servers: servers.urls, name: 'three' });
  beforeAll(async () => {
    servers = await NatsCluster.start({ program: release.program });
    await eventually(() => createJetStream(options()));
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  it.each(isLong ? (['killed', 'paused'] as const) : (['killed'] as const))(
    'goes on in order when its leader is %s',
    async (fault) => {
      const streams = await Promise.all([1, 2, 3].map(() => openJetStream(options())));
      const readers = streams.map((stream) => {
        const got = new Received();
        stream.follow(0, got.receive, got.failed);
        return got;
      });
      const [first] = streams as [CommandStream];
      await Promise.all(Array.from({ length: 200 }, () => first.publish(message('before'))));
      const leader = await servers.leader('ACC_three_0');
      await eventually(async () => expect(await first.info()).toMatchObject({ isSettled: true }));
      if (fault === 'killed') await leader.kill();
      else leader.pause();
      await Promise.all(streams.map((stream, index) => insist(stream, `${fault} ${index}`)));
      // A leader that was just elected may not have come to its own end.
      expect(await eventually(() => first.info())).toMatchObject({ isSettled: false });
      if (fault === 'killed') await leader.start();
      else leader.resume();
      await insist(first, `${fault} and back`);
      for (const got of readers) {
        await eventually(() => expect(got.texts.at(-1)).toBe(`${fault} and back`));
        expect(isOrdered(got.sequences)).toBe(true);
        expect(got.errors).toEqual([]);
      }
      const [one, ...others] = readers as [Received, ...Received[]];
      for (const other of others) expect(other.texts).toEqual(one.texts);
      await Promise.all(streams.map((stream) => stream.close()));
    },
  );

  it('takes no answer of a server that has lost the others for that of the stream', async () => {
    const stream = await openJetStream(options());
    // A server that has just come back does not know of the stream before it has heard so from the others.
    await servers.current('ACC_three_0');
    const leader = await servers.leader('ACC_three_0');
    const [left, other] = servers.nodes.filter((node) => node !== leader) as [NatsNode, NatsNode];
    await Promise.all([leader.kill(), other.kill()]);
    const direct = await connect({ servers: left.url, reconnect: false });
    await eventually(async () => {
      const answer = await direct.request('$JS.API.STREAM.INFO.ACC_three_0', '', { timeout: 1_000 });
      const { cluster } = answer.json<StreamInfo>();
      expect([cluster === undefined, cluster?.leader]).toEqual([false, undefined]);
    });
    await eventually(() => expect(stream.connected).toBe(true));
    const noLeader = { code: 'LOG_UNAVAILABLE', message: expect.stringContaining('has no leader') };
    await expect(stream.info()).rejects.toMatchObject(noLeader);
    await expect(clusterStatus(options())).rejects.toMatchObject(noLeader);
    await Promise.all([direct.close(), leader.start(), other.start()]);
    await insist(stream, 'back');
    await stream.close();
  });
});
