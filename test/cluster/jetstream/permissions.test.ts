import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createJetStream, openJetStream } from '../../../src/cluster/jetstream/open-jetstream.ts';
import { clusterStatus } from '../../../src/cluster/jetstream/stream-status.ts';
import { message, Received } from '../support/command-stream-suite.ts';
import { NatsCluster } from '../support/nats-cluster.ts';
import { describeOn } from '../support/releases.ts';

/** The least that a node needs, as docs/cluster.md lists it. */
const NODE = {
  publish: [
    'acc.plans.c.0',
    '$JS.API.STREAM.INFO.ACC_plans_0',
    '$JS.API.DIRECT.GET.ACC_plans_0',
    '$JS.API.STREAM.PURGE.ACC_plans_0',
  ],
  subscribe: ['acc.plans.r.0', '_INBOX_node.>'],
};

const without = (list: readonly string[], subject: string) => list.filter((each) => each !== subject);

function userText(user: string, { publish, subscribe }: typeof NODE): string {
  const list = (subjects: readonly string[]) => subjects.map((each) => JSON.stringify(each)).join(', ');
  const permissions = `{ publish: [${list(publish)}], subscribe: [${list(subscribe)}] }`;
  return `{ user: ${user}, password: secret, permissions: ${permissions} }`;
}

const users = [
  '{ user: admin, password: secret }',
  userText('node', NODE),
  ...NODE.publish.map((subject, index) =>
    userText(`nopub${index}`, { ...NODE, publish: without(NODE.publish, subject) }),
  ),
  ...NODE.subscribe.map((subject, index) =>
    userText(`nosub${index}`, { ...NODE, subscribe: without(NODE.subscribe, subject) }),
  ),
];

describeOn(['2.10', '2.15'], 'a node whose user may do no more than it must', (release) => {
  let servers: NatsCluster;
  const optionsOf = (user: string) => ({
    servers: servers.urls,
    name: 'plans',
    connection: { user, pass: 'secret', ...(user === 'admin' ? {} : { inboxPrefix: '_INBOX_node' }) },
  });

  beforeAll(async () => {
    const config = `authorization { users: [\n${users.join('\n')}\n] }`;
    servers = await NatsCluster.start({ program: release.program, size: 1, config });
    await createJetStream({ ...optionsOf('admin'), replicas: 1 });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  it('writes, reads what is new and what is stored, purges and asks for the state', async () => {
    const stream = await openJetStream(optionsOf('node'));
    const [live, stored] = [new Received(), new Received()];
    stream.follow(0, live.receive, live.failed);
    for (const text of ['a', 'b', 'c']) await stream.publish(message(text));
    await live.holds(3);
    stream.follow(1, stored.receive, stored.failed);
    await stored.holds(2);
    await stream.purge(1);
    expect(await stream.info()).toMatchObject({ first: 2, last: 3 });
    await stream.close();
  });

  it('can neither create a stream nor delete or change one', async () => {
    const create = createJetStream({ ...optionsOf('node'), name: 'other', replicas: 1 });
    await expect(create).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/publish to \$JS\.API\.STREAM\.INFO\.ACC_other_0.*use another user/),
    });
    const login = { user: 'node', pass: 'secret', inboxPrefix: '_INBOX_node' };
    for (const subject of ['$JS.API.STREAM.DELETE.ACC_plans_0', '$JS.API.STREAM.UPDATE.ACC_plans_0', 'other']) {
      const connection = await connect({ servers: servers.urls, ...login });
      await expect(connection.request(subject, '', { timeout: 2_000 })).rejects.toThrow(/ermission/);
      await connection.close();
    }
  });

  it('is told to give the prefix of its answers if it reads the status without', async () => {
    const status = clusterStatus({ ...optionsOf('node'), connection: { user: 'node', pass: 'secret' } });
    await expect(status).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/subscribe to _INBOX\..*--cluster-inbox/),
    });
  });

  describe('without one of its permissions', () => {
    it.each([
      ['nopub1', '$JS.API.STREAM.INFO.ACC_plans_0'],
      ['nopub2', '$JS.API.DIRECT.GET.ACC_plans_0'],
      ['nosub0', 'acc.plans.r.0'],
      ['nosub1', '_INBOX_node.'],
    ])('is refused when it starts (%s), with the subject', async (user, subject) => {
      const failure = openJetStream(optionsOf(user)).then(
        () => undefined,
        (error) => error,
      );
      expect(await failure).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringContaining(subject) });
    });

    it('cannot write, and knows that nothing was stored', async () => {
      const stream = await openJetStream(optionsOf('nopub0'));
      await expect(stream.publish(message('x'))).rejects.toMatchObject({
        code: 'LOG_UNAVAILABLE',
        message: expect.stringMatching(/acc\.plans\.c\.0.*Nothing was stored/),
      });
      await stream.close();
    });

    it('cannot purge, and says which permission it lacks', async () => {
      const stream = await openJetStream(optionsOf('nopub3'));
      await expect(stream.purge(1)).rejects.toMatchObject({
        code: 'BACKEND_FAILED',
        message: expect.stringContaining('$JS.API.STREAM.PURGE.ACC_plans_0'),
      });
      await stream.close();
    });
  });
});
