import { describe, expect, test, vi } from 'vitest';
import { shownNode } from '../../src/cli/commands/cluster-node.ts';
import { protocolError } from '../../src/cluster/node-errors.ts';
import { AgentContextCache } from '../../src/index.ts';
import type { ClusterHealth } from '../../src/types.ts';
import { openNode } from '../support/cluster.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStream } from '../support/memory-stream.ts';
import { tempDir } from '../support/temp-dir.ts';

const newer = { internals: { protocols: { min: 1, max: 2 } } };
const raise = { type: 'cluster.raise' } as const;

/** A stream whose time a test moves. */
class TimedStream extends MemoryStream {
  readonly clock: { at: number };

  constructor() {
    const clock = { at: 1_000_000 };
    super(() => clock.at);
    this.clock = clock;
  }

  /** Lets a minute and more pass in which these nodes speak. */
  async minute(nodes: readonly AgentContextCache[]): Promise<void> {
    for (let i = 0; i < 5; i += 1) {
      this.clock.at += 15_000;
      await Promise.all(nodes.map((node) => node.barrier()));
    }
  }
}

describe('the protocol of a cluster', () => {
  test('is raised once all members understand it, and says which of them do not', async () => {
    const stream = new TimedStream();
    const connection = stream.connect();
    const old = await openNode(connection, { node: 'old' });
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    expect(await a.ask(raise)).toEqual({ protocol: 1 });
    await expect(a.ask({ ...raise, protocol: 2 })).rejects.toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
      message: expect.stringMatching(
        /do not understand protocol 2: old \(version 0\.0\.0: 1 to 1\)\. The protocol stays/,
      ),
    });
    const b = await openNode(stream.connect(), { node: 'b', ...newer });
    // Without a goodbye: its connection is gone.
    connection.cut();
    await old.shutdown({ timeoutMs: 0 });
    expect(await b.ask(raise)).toEqual({ protocol: 1 });
    await stream.minute([a, b]);
    expect(await b.ask(raise)).toEqual({ protocol: 2 });
    await a.barrier();
    for (const node of [a, b]) {
      expect(node.health().cluster).toMatchObject({ protocol: 2, members: [{ maxProtocol: 2 }, { maxProtocol: 2 }] });
      expect(node.health().cluster?.leases.map(({ name }) => name)).not.toContain('protocol');
    }
    // Twice is as good as once, and it never goes back.
    expect(await a.ask({ ...raise, protocol: 2 })).toEqual({ protocol: 2 });
    await expect(a.ask({ ...raise, protocol: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(openNode(stream.connect(), { node: 'late' })).rejects.toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
      message: expect.stringMatching(
        /has protocol 2, and this version .* understands none above 1\. The node was not started\. Install the version/,
      ),
    });
    await Promise.all([a.shutdown(), b.shutdown()]);
  });

  test('is raised at once after the last node that does not understand it was shut down', async () => {
    const stream = new TimedStream();
    const dataDir = await tempDir('leave');
    const old = await openNode(stream.connect(), { node: 'old', dataDir });
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    await stream.minute([a, old]);
    const { position } = await old.set('plan', 1);
    await old.shutdown();
    await a.barrier();
    expect(a.health().cluster?.members.map(({ node }) => node)).toEqual(['a']);
    expect(await a.ask(raise)).toEqual({ protocol: 2 });
    // It is a member again when it comes back, with what it had.
    const again = await openNode(stream.connect(), { node: 'old', dataDir, ...newer });
    await again.set('plan', 2);
    await a.reached(position + 1);
    expect(
      a
        .health()
        .cluster?.members.map(({ node }) => node)
        .sort(),
    ).toEqual(['a', 'old']);
    expect(await again.digest()).toBe(await a.digest());
    await Promise.all([a.shutdown(), again.shutdown()]);
  });

  test('does not wait for the goodbye of a node without a connection', async () => {
    const stream = new TimedStream();
    const clock = new ManualClock();
    const connection = stream.connect();
    const node = await openNode(connection, { node: 'a', clock });
    connection.cut();
    // The clock stands still, so that any wait would last for ever.
    await node.shutdown();
    const silent = stream.connect();
    const other = await openNode(silent, { node: 'b', clock });
    silent.publish = () => new Promise(() => {});
    const gone = other.shutdown();
    await vi.waitFor(() => {
      clock.advance(1_000);
      expect(other.health().cluster?.status).toBe('closed');
    });
    await gone;
  });

  test('is raised once by two raises at once on one node, and both resolve', async () => {
    const stream = new TimedStream();
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    const raises = [2, 2].map((protocol) => a.ask({ ...raise, protocol }));
    expect(await Promise.all(raises)).toEqual([{ protocol: 2 }, { protocol: 2 }]);
    await a.shutdown();
  });

  test('is shown without a higher one while no members are known', async () => {
    const a = await openNode(new TimedStream().connect(), { node: 'a', ...newer });
    const health = a.health().cluster as ClusterHealth;
    expect(shownNode(health)).toMatch(/protocol {2}1, can be raised to 2$/m);
    expect(shownNode({ ...health, members: [] })).toMatch(/protocol {2}1$/m);
    const lease = { node: 'n1', leftMs: 9_000 };
    const leases = [
      { ...lease, name: 'backup', checkpoint: 0 },
      { ...lease, name: 'mirror', checkpoint: 1_200 },
    ];
    expect(shownNode({ ...health, leases })).toMatch(/backup: n1\nlease +mirror: n1, delivered up to position 1,200$/);
    await a.shutdown();
  });

  test('is not raised within a minute after a silence of the stream, in which members could not speak', async () => {
    const stream = new TimedStream();
    const old = await openNode(stream.connect(), { node: 'old' });
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    stream.clock.at += 70_000;
    const raised = a.ask({ ...raise, protocol: 2 });
    await expect(raised).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/was silent/),
    });
    await stream.minute([a, old]);
    await expect(a.ask({ ...raise, protocol: 2 })).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
    expect(old.health().cluster?.status).toBe('ready');
    await Promise.all([a.shutdown(), old.shutdown()]);
  });

  test('puts a node out of service that was away, whose directory a version continues that understands it', async () => {
    const stream = new TimedStream();
    const dataDir = await tempDir('upgrade');
    const connection = stream.connect();
    const old = await openNode(connection, { node: 'old', dataDir });
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    await old.set('plan', 1, 'trip');
    connection.cut();
    await stream.minute([a]);
    // One message: the node that is away applies what stands before the raise in it, and leaves after it.
    const written = a.set('plan', 2, 'trip');
    expect(await a.ask(raise)).toEqual({ protocol: 2 });
    await written;
    connection.restore();
    await vi.waitFor(() => expect(old.health().cluster?.status).toBe('failed'));
    expect(() => old.get('plan', 'trip')).toThrow(
      expect.objectContaining({
        code: 'FORMAT_UNSUPPORTED',
        message: expect.stringMatching(
          /was raised to protocol 2, .*none above 1\. The node has left service\. Install/,
        ),
      }),
    );
    await old.shutdown();
    await expect(openNode(stream.connect(), { node: 'old', dataDir })).rejects.toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
    });
    const upgraded = await openNode(stream.connect(), { node: 'old', dataDir, ...newer });
    expect(upgraded.get('plan', 'trip')).toBe(2);
    expect(await upgraded.digest()).toBe(await a.digest());
    await Promise.all([a.shutdown(), upgraded.shutdown()]);
  });

  test('must be raised before nodes join that understand later ones alone', async () => {
    const stream = new MemoryStream();
    const a = await openNode(stream.connect(), { node: 'a', ...newer });
    const newest = { node: 'newest', internals: { protocols: { min: 2, max: 3 } } };
    await expect(openNode(stream.connect(), newest)).rejects.toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
      message: expect.stringMatching(
        /has protocol 1, .*understands none below 2\. The node was not started\. .*protocol 1 on all nodes, raise it to 2 \(context-cache cluster raise/,
      ),
    });
    await a.shutdown();
  });

  test.each([
    [
      3,
      'joining',
      /has protocol 3, .*none above 2\. The node was not started\. Install the version that the other nodes/,
    ],
    [3, 'serving', /was raised to protocol 3, .*none above 2\. The node has left service\. Install the version/],
    [1, 'joining', /has protocol 1, .*none below 2\. The node was not started\. Start the last version/],
    [3, 'refounding', /none above 2\. The stream was not refounded\. Refound it with the version/],
    [1, 'refounding', /none below 2\. The stream was not refounded\. Refound it with the version/],
  ] as const)('that is not understood is named with the remedy: %i while %s', (protocol, doing, expected) => {
    expect(protocolError(2, { min: 2, max: 2 }, doing)).toBeUndefined();
    const message = expect.stringMatching(expected);
    expect(protocolError(protocol, { min: 2, max: 2 }, doing)).toMatchObject({ code: 'FORMAT_UNSUPPORTED', message });
  });

  test('belongs to a cluster', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    await expect(cache.ask(raise)).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
    await expect(cache.ask({ ...raise, protocol: 0 })).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
  });
});
