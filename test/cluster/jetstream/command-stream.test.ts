import { afterAll, beforeAll, describe } from 'vitest';
import type { CommandStream } from '../../../src/cluster/command-stream.ts';
import { createJetStream, openJetStream } from '../../../src/cluster/jetstream/open-jetstream.ts';
import { MemoryStream } from '../../support/memory-stream.ts';
import { commandStreamSuite } from '../support/command-stream-suite.ts';
import { NatsCluster } from '../support/nats-cluster.ts';
import { describeOn } from '../support/releases.ts';

describe('a command stream in memory', () => {
  commandStreamSuite(async () => {
    const stream = new MemoryStream();
    return { open: async () => stream.connect() };
  });
});

describeOn(['2.10', '2.15'], 'a command stream', (release) => {
  let servers: NatsCluster;
  let count = 0;
  const opened: CommandStream[] = [];
  beforeAll(async () => {
    servers = await NatsCluster.start({ program: release.program, size: 1 });
  });
  afterAll(async () => {
    await Promise.all(opened.map((stream) => stream.close()));
    await servers[Symbol.asyncDispose]();
  });
  commandStreamSuite(async () => {
    count += 1;
    const options = { servers: servers.urls, name: `suite-${count}` };
    await createJetStream({ ...options, replicas: 1 });
    return {
      open: async () => {
        const stream = await openJetStream(options);
        opened.push(stream);
        return stream;
      },
    };
  });
});
