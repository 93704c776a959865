import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { AgentContextCache } from '../../src/index.ts';
import { eventually, NatsCluster } from '../cluster/support/nats-cluster.ts';
import { describeOn } from '../cluster/support/releases.ts';
import { filesWith } from '../support/planted.ts';
import { tempDir } from '../support/temp-dir.ts';

const SECRET = 'Karl-Johans-gate-1';
/** A value without a subject, which shows that the search finds what is stored. */
const CONTROL = 'untagged-control';
const NODES = ['a', 'b', 'c'];

describeOn(['2.15'], 'forget over three nodes and three servers', ({ program }) => {
  test('leaves the secret in no file of any of them, before and after', async () => {
    await using servers = await NatsCluster.start({ program });
    const cluster = { servers: servers.urls, name: 'memory' };
    await eventually(() => createJetStream({ ...cluster, maxBytes: 16 * 1024 ** 2 }).then(() => true));
    const root = await tempDir('forget-cluster');
    const keyFile = join(root, 'subject.keys');
    const dataDirOf = (node: string) => join(root, node);
    const open = async (node: string) => {
      const cache = await AgentContextCache.open({
        ...{ natsUrl: null, onError: () => {}, subjects: { keys: keyFile } },
        ...{ cluster: { ...cluster, node }, dataDir: dataDirOf(node) },
      });
      onTestFinished(async () => void (await cache.shutdown({ timeoutMs: 100 })));
      return cache;
    };
    const nodes = await Promise.all(NODES.map(open));
    const [a, b, c] = nodes as [AgentContextCache, AgentContextCache, AgentContextCache];
    const settle = () => Promise.all(nodes.map((node) => node.barrier()));
    const directories = () => [...servers.nodes.map(({ dir }) => dir), ...NODES.map(dataDirOf)];
    /** How many files of each server and node hold a text. */
    const found = (text: string | Buffer) => directories().map((directory) => filesWith(directory, text).length);
    const nowhere = directories().map(() => 0);

    const writes = Array.from({ length: 20 }, (_, i) => [
      a.set(`whole-${i}`, { text: `${SECRET} ${i}` }, 'trip', { subject: 'u', operationId: `op-${i}` }),
      b.set(`part-${i}`, { text: `${SECRET} ${i}`, plain: CONTROL }, 'trip', { subjects: { '/text': 'u' } }),
    ]);
    await Promise.all(writes.flat());
    const { key } = await c.append(SECRET, 'trip', { subject: 'u', prefix: 'm:' });
    await settle();
    await a.backup();
    expect([b.get('whole-7', 'trip'), a.get(key, 'trip')]).toEqual([{ text: `${SECRET} 7` }, SECRET]);
    // Each server writes its copy in its own time.
    await eventually(async () => (found(CONTROL).every((files) => files > 0) ? true : undefined));
    expect(found(SECRET)).toEqual(nowhere);
    const { key: subjectKey } = JSON.parse(readFileSync(keyFile, 'utf8').split('\n')[1] as string) as { key: string };
    for (const bytes of [subjectKey, Buffer.from(subjectKey, 'base64')]) expect(found(bytes)).toEqual(nowhere);

    await c.forget('u', { reason: 'asked' });
    await settle();
    for (const node of nodes) {
      expect(node.entry('whole-7', 'trip')).toMatchObject({ value: null, forgotten: [''] });
      expect(node.get('part-7', 'trip')).toEqual({ text: null, plain: CONTROL });
      await expect(node.set('again', SECRET, 'trip', { subject: 'u' })).rejects.toMatchObject({
        code: 'SUBJECT_FORGOTTEN',
      });
      expect(await node.verify()).toMatchObject({ ok: true });
    }
    expect(new Set(await Promise.all(nodes.map((node) => node.digest()))).size).toBe(1);
    expect(found(SECRET)).toEqual(nowhere);
    expect(readFileSync(keyFile, 'utf8')).not.toContain(subjectKey);

    // What was still in memory is written at the end.
    await Promise.all(nodes.map((node) => node.shutdown({ timeoutMs: 1_000 })));
    await Promise.all(servers.nodes.map((server) => server.stop()));
    expect(found(CONTROL).every((files) => files > 0)).toBe(true);
    expect(found(SECRET)).toEqual(nowhere);
  }, 60_000);
});
