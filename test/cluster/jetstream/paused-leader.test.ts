import { connect } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import { streamNames } from '../../../src/cluster/jetstream/stream-names.ts';
import { configOf } from '../../../src/cluster/jetstream/stream-settings.ts';
import { installedNats, natsRelease } from '../../support/nats-release.ts';
import { eventually, NatsCluster } from '../support/nats-cluster.ts';

/** Why older servers are refused: this needs some minutes, and on a server that is right it shows nothing. */
const isLong = process.env.CLUSTER === 'long';
const PAUSES = 8;
const PAUSE_MS = 12_000;
const IN_FLIGHT = 32;

const names = streamNames('paused');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Publishes while the leader is paused again and again. Returns how many messages the stream has acknowledged, and the sequences that hold another. */
async function publishAndRead(program: string): Promise<{ acknowledged: number; others: number[] }> {
  await using servers = await NatsCluster.start({ program });
  // Older servers have no metadata.
  const { metadata: _, ...config } = configOf(names, { replicas: 3, maxBytes: 1024 ** 3, epoch: 'paused' });
  const stream = { ...config, name: names.stream };
  await eventually(() => servers.manage(({ streams }) => streams.add(stream).then(() => true)));
  const acknowledged = new Map<number, string>();
  const done = new AbortController();
  const writers = servers.urls.map((url, index) => publish(url, `${index}`, acknowledged, done.signal));
  for (let pause = 0; pause < PAUSES; pause += 1) {
    await sleep(3_000);
    const leader = await servers.leader(names.stream);
    leader.pause();
    await sleep(PAUSE_MS);
    leader.resume();
  }
  done.abort();
  await Promise.all(writers);
  await eventually(() => servers.leader(names.stream));
  const others = await misread(servers.urls, acknowledged);
  return { acknowledged: acknowledged.size, others };
}

async function publish(url: string, writer: string, acknowledged: Map<number, string>, signal: AbortSignal) {
  const connection = await connect({ servers: [url], ignoreClusterUpdates: true, maxReconnectAttempts: -1 });
  let count = 0;
  const one = async () => {
    while (!signal.aborted) {
      count += 1;
      const text = `${writer} ${count}`;
      try {
        const answer = await connection.request(names.commands, text, { timeout: 2_000 });
        const { seq } = answer.json<{ readonly seq?: number }>();
        if (seq !== undefined) acknowledged.set(seq, text);
      } catch {
        // Not acknowledged, as expected during a pause.
        await sleep(10);
      }
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  await connection.close();
}

async function misread(servers: string[], acknowledged: ReadonlyMap<number, string>): Promise<number[]> {
  const connection = await connect({ servers, ignoreClusterUpdates: true });
  const left = [...acknowledged];
  const others: number[] = [];
  const one = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const [seq, text] = next;
      const read = () => connection.request(names.get, JSON.stringify({ seq }), { timeout: 5_000 });
      if ((await eventually(read)).string() !== text) others.push(seq);
    }
  };
  await Promise.all(Array.from({ length: 4 * IN_FLIGHT }, one));
  await connection.close();
  return others;
}

const installed = installedNats();
const release = natsRelease('2.10');
const old = installed?.version.startsWith('2.9.') === true ? installed : undefined;

/** Says why a test is skipped; `undefined` if it runs. */
function skipped(program: string | undefined, line: string): string | undefined {
  if (!isLong) return 'only with CLUSTER=long';
  return program === undefined ? `no nats-server ${line} on this machine` : undefined;
}

/** Defines a test that gives what was published and read. Skips it with the reason if it cannot run. */
function testOn(program: string | undefined, line: string, title: string, check: (others: number[]) => void): void {
  const reason = skipped(program, line);
  if (reason !== undefined || program === undefined) test.skip(`${title} on nats-server ${line}: ${reason}`);
  else
    test(`${title} on nats-server ${line}`, { timeout: 600_000 }, async () => {
      const { acknowledged, others } = await publishAndRead(program);
      console.info(line, `${others.length} of ${acknowledged} acknowledged messages are others`);
      check(others);
    });
}

describe('a stream whose leader is paused', () => {
  testOn(old?.program, '2.9', 'has other messages than it acknowledged', (others) => {
    expect(others.length).toBeGreaterThan(0);
  });
  testOn('program' in release ? release.program : undefined, '2.10', 'has what it acknowledged', (others) => {
    expect(others).toEqual([]);
  });
});
