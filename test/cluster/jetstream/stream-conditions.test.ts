import type { StreamConfig } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createJetStream, openJetStream } from '../../../src/cluster/jetstream/open-jetstream.ts';
import { checkServerVersion } from '../../../src/cluster/jetstream/server-version.ts';
import { streamNames } from '../../../src/cluster/jetstream/stream-names.ts';
import { configOf } from '../../../src/cluster/jetstream/stream-settings.ts';
import { installedNats } from '../../support/nats-release.ts';
import { NatsCluster } from '../support/nats-cluster.ts';
import { describeOn } from '../support/releases.ts';

it.each([
  ['2.9.10', false],
  ['2.10.26', false],
  ['2.10.27', true],
  ['2.10.29-RC.1', true],
  ['2.11.0', true],
  ['2.15.1', true],
  ['3.0.0', true],
  ['', false],
])('judges nats-server %s', (version, isNewEnough) => {
  const check = () => checkServerVersion(version, 'host:4222');
  if (isNewEnough) check();
  else expect(check).toThrow(/host:4222 is nats-server.*needs 2\.10\.27 or later.*Upgrade/);
});

const installed = installedNats();
const isOld = installed !== undefined && /^2\.\d\./.test(installed.version);
it.skipIf(!isOld)('refuses a real server that is too old, with the reason', async () => {
  await using servers = await NatsCluster.start({ program: installed?.program ?? '', size: 1 });
  const options = { servers: servers.urls, name: 'old' };
  const refused = { code: 'BACKEND_FAILED', message: expect.stringMatching(/can differ after a pause of its leader/) };
  await expect(createJetStream({ ...options, replicas: 1 })).rejects.toMatchObject(refused);
  await expect(openJetStream(options)).rejects.toMatchObject(refused);
});

it.each(['', 'a.b', 'a b', 'ü', 'x'.repeat(65)])('refuses the cluster name %j', async (name) => {
  await expect(openJetStream({ servers: '127.0.0.1:1', name })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

describeOn(['2.10', '2.15'], 'a stream', (release) => {
  let servers: NatsCluster;
  const optionsOf = (name: string) => ({ servers: servers.urls, name, monitors: servers.monitors });
  beforeAll(async () => {
    const config = 'max_payload: 64KB';
    servers = await NatsCluster.start({ program: release.program, size: 1, sync: 'always', config });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  it('must exist', async () => {
    const missing = { code: 'NOT_FOUND', message: expect.stringContaining('ACC_missing_0') };
    await expect(openJetStream(optionsOf('missing'))).rejects.toMatchObject(missing);
  });

  it('is created once, and keeps its epoch', async () => {
    await createJetStream({ ...optionsOf('twice'), replicas: 1 });
    const first = await openJetStream(optionsOf('twice'));
    await createJetStream({ ...optionsOf('twice'), replicas: 1 });
    const second = await openJetStream(optionsOf('twice'));
    const { epoch } = await first.info();
    expect((await second.info()).epoch).toBe(epoch);
    await Promise.all([first.close(), second.close()]);
  });

  it('is not created with more replicas than there are servers', async () => {
    const refused = { code: 'BACKEND_FAILED', message: expect.stringContaining('3 replicas') };
    await expect(createJetStream(optionsOf('three'))).rejects.toMatchObject(refused);
  });

  it.each([
    ['discard', { discard: 'old' }],
    ['max_age', { max_age: 60_000_000_000 }],
    ['deny_delete', { deny_delete: false }],
    ['allow_direct', { allow_direct: false }],
    ['republish', { republish: undefined }],
    ['storage', { storage: 'memory' }],
    ['acc-epoch', { metadata: { 'acc-format': '1' } }],
  ])('is refused if its %s is not what a cluster needs', async (setting, change) => {
    const name = `bad-${setting}`;
    const config = configOf(streamNames(name), { replicas: 1, maxBytes: 1024 ** 2, epoch: 'e' });
    const changed = { ...config, ...change, name: `ACC_${name}_0` } as Partial<StreamConfig> & { name: string };
    await servers.manage(({ streams }) => streams.add(changed));
    const refused = { code: 'BACKEND_FAILED', message: expect.stringContaining(setting) };
    await expect(openJetStream(optionsOf(name))).rejects.toMatchObject(refused);
  });

  it('takes a message up to max_payload, and refuses a larger one before it is sent', async () => {
    await createJetStream({ ...optionsOf('large'), replicas: 1 });
    const stream = await openJetStream(optionsOf('large'));
    expect((await stream.info()).maxBytes).toBe(64 * 1024);
    const sizes: number[] = [];
    stream.follow(
      0,
      ({ data }) => sizes.push(data.length),
      ({ message }) => expect.unreachable(message),
    );
    await expect(stream.publish(new Uint8Array(64 * 1024 + 1))).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    expect(await stream.publish(new Uint8Array(64 * 1024))).toBe(1);
    await expect.poll(() => sizes).toEqual([64 * 1024]);
    await stream.close();
  });

  it('refuses messages when it is full, and takes them again after a purge', async () => {
    await createJetStream({ ...optionsOf('full'), replicas: 1, maxBytes: 64 * 1024 });
    const stream = await openJetStream(optionsOf('full'));
    const publish = () => stream.publish(new Uint8Array(20 * 1024));
    for (let sequence = 1; sequence <= 3; sequence += 1) expect(await publish()).toBe(sequence);
    await expect(publish()).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/maximum bytes exceeded.*max_bytes.*Nothing was stored/),
    });
    await stream.purge(2);
    expect(await publish()).toBe(4);
    await stream.close();
  });

  it('says whether its servers sync every write', async () => {
    await createJetStream({ ...optionsOf('sync'), replicas: 1 });
    const asked = await openJetStream(optionsOf('sync'));
    expect((await asked.info()).syncs).toBe(true);
    const unknown = await openJetStream({ ...optionsOf('sync'), monitors: ['http://127.0.0.1:1'] });
    expect((await unknown.info()).syncs).toBeUndefined();
    await Promise.all([asked.close(), unknown.close()]);
  });
});
