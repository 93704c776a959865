import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { NatsCluster } from '../cluster/support/nats-cluster.ts';
import { describeOn } from '../cluster/support/releases.ts';
import { serve, waitFor } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

test.each([
  [['status'], /Name the cluster: add --cluster NAME/],
  [['init', '--cluster', 'a.b'], /name of a cluster has 1 to 64 letters/],
  [['init', '--cluster', 'plans', '--replicas', '2'], /Give 1, 3 or 5/],
  [['init', '--cluster', 'plans', '--max-bytes', '0'], /Give a number of MiB from 1/],
  [['refound', '--cluster', 'plans'], /add --snapshots WHERE/],
  [['status', '--cluster', 'plans', '--cluster-cert', 'cert.pem'], /--cluster-cert and --cluster-key belong together/],
])('cluster %j is refused as a mistake', async (args, message) => {
  const { code, stderr } = await run(['cluster', ...args]);
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
});

test.each([
  ['init', /--replicas <count>[^-]*\(default:\s+3\)[\s\S]*--max-bytes <MiB>[^-]*\(default:\s+1024\)/],
  [
    'refound',
    /--replicas <count>[^-]*\(default:\s+as\s+in\s+the\s+old\s+stream\)[\s\S]*--max-bytes <MiB>[^-]*\(default:\s+as\s+in/,
  ],
])('cluster %s --help says which size the stream gets', async (command, message) => {
  expect((await run(['cluster', command, '--help'])).stdout).toMatch(message);
});

describeOn(['2.15'], 'the command line of a cluster', (release) => {
  let servers: NatsCluster;
  let env: Record<string, string>;
  beforeAll(async () => {
    servers = await NatsCluster.start({ program: release.program, size: 1 });
    env = { CLUSTER_SERVERS: servers.urls.join(',') };
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const cluster = (...args: readonly string[]) => run(['cluster', ...args], { env });

  test('init creates the stream once, and refuses another number of replicas and settings of another program', async () => {
    const missing = await cluster('status', '--cluster', 'plans');
    expect(missing).toMatchObject({ code: 3, stderr: expect.stringContaining('There is no stream ACC_plans_0') });
    const created = await cluster('init', '--cluster', 'plans', '--replicas', '1', '--max-bytes', '16');
    expect(created).toMatchObject({ code: 0, stderr: 'Created the cluster plans.\n' });
    expect(created.stdout).toMatch(/^stream {4}ACC_plans_0: no messages, 0\.0 MiB of at most 16 MiB, epoch \S{36}\n/);
    const again = await cluster('init', '--cluster', 'plans', '--json');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(again.stdout)).toMatchObject({
      created: false,
      stream: { replicas: 1, maxBytes: 16 * 1024 ** 2 },
    });
    const other = await cluster('init', '--cluster', 'plans', '--replicas', '3');
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('keeps each message on 1 servers, and replicas is 3'),
    });
    await servers.manage(({ streams }) => streams.update('ACC_plans_0', { max_age: 3_600_000_000_000 }));
    for (const args of [['init'], ['status']]) {
      const wrong = await cluster(...args, '--cluster', 'plans');
      expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('has max_age 3600000000000') });
    }
  });

  test('status prints the stream, and what an operator should look at', async () => {
    await cluster('init', '--cluster', 'shown', '--replicas', '1');
    const text = await cluster('status', '--cluster', 'shown', '--data-dir', await tempDir('no-node'));
    expect(text.code).toBe(0);
    expect(text.stdout).toContain('n1: leader');
    expect(text.stdout).toContain(`nats-server ${release.version}, 1 replica, synced: unknown`);
    expect(text.stderr).toMatch(/No node of a cluster serves .*\n.*ACC_shown_0 is stored on one server alone/);
    const json = JSON.parse((await cluster('status', '--cluster', 'shown', '--json')).stdout);
    const doctor = await run(['doctor', '--cluster', 'shown', '--data-dir', await tempDir('no-node')], { env });
    expect(doctor.stdout).toMatch(
      /ok +cluster +ACC_shown_0 on nats-server .*\nwarning +cluster +ACC_shown_0 is stored on one/,
    );
    const missing = await run(['doctor', '--cluster', 'missing', '--json'], { env });
    expect(missing).toMatchObject({ code: 1, stdout: expect.stringContaining('There is no stream ACC_missing_0') });
    expect(json).toMatchObject({
      stream: {
        cluster: 'shown',
        first: 1,
        last: 0,
        servers: [{ name: 'n1', isLeader: true, isCurrent: true, isOnline: true, lag: 0 }],
        syncs: null,
      },
      node: null,
    });
  });

  test('status shows the node, and then that its stream is gone', async () => {
    await cluster('init', '--cluster', 'gone', '--replicas', '1');
    const dataDir = `${await tempDir('nodes')}/a`;
    await using _served = await serve(dataDir, ['--cluster', 'gone', '--node', 'a'], { env });
    await servers.manage(({ streams }) => streams.delete('ACC_gone_0'));
    await waitFor(async () =>
      expect(await cluster('status', '--cluster', 'gone', '--data-dir', dataDir)).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/^node {6}a: failed[\s\S]*There is no stream ACC_gone_0.* refound it/),
      }),
    );
  });

  test('serve makes two directories nodes of one cluster, which a restart continues', async () => {
    await cluster('init', '--cluster', 'served', '--replicas', '1');
    const folder = await tempDir('nodes');
    const [one, two] = [`${folder}/one`, `${folder}/two`];
    const start = async (dataDir: string, node: string) => {
      const served = await serve(dataDir, ['--cluster', 'served', '--node', node], { env });
      onTestFinished(() => served[Symbol.asyncDispose]());
      return served;
    };
    const [a, b] = await Promise.all([start(one, 'a'), start(two, 'b')]);
    const written = await run(['set', 'plan', '["search"]', '--data-dir', one, '--json']);
    expect(written).toMatchObject({ code: 0, stderr: '' });
    await waitFor(async () => expect((await run(['get', 'plan', '--data-dir', two])).stdout).toBe('["search"]\n'));
    const status = await cluster('status', '--cluster', 'served', '--data-dir', two, '--json');
    const { node } = JSON.parse(status.stdout);
    expect(node).toMatchObject({ node: 'b', status: 'ready', connected: true, replicas: 1 });
    expect(node.members.map(({ node }: { node: string }) => node).sort()).toEqual(['a', 'b']);
    const text = await cluster('status', '--cluster', 'served', '--data-dir', two);
    expect(text.stdout).toMatch(
      /^node {6}b: ready, at message \d+, .*\nprotocol {2}1\nmember {4}a: version .*, protocols up to 1, .*\nmember {4}b: /m,
    );
    expect(await cluster('raise', '--data-dir', two, '--json')).toMatchObject({ code: 0, stdout: '{"protocol":1}\n' });
    expect(await cluster('raise', '--protocol', '2', '--data-dir', two)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/do not understand protocol 2: a \(version .*: 1 to 1\), b .*stays as it is/),
    });
    expect(await cluster('raise', '--data-dir', folder)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No node serves'),
    });
    await a.end();
    await run(['set', 'plan', '["book"]', '--data-dir', two]);
    const again = await start(one, 'a');
    expect((await run(['get', 'plan', '--data-dir', one])).stdout).toBe('["book"]\n');
    await Promise.all([again.end(), b.end()]);
    const refound = (...args: string[]) =>
      cluster(
        'refound',
        '--cluster',
        'served',
        '--data-dir',
        one,
        '--snapshots',
        `${folder}/shared`,
        '--replicas',
        '1',
        ...args,
      );
    expect(await refound()).toMatchObject({ code: 1, stderr: expect.stringContaining('--force') });
    const founded = await refound('--force');
    expect(founded).toMatchObject({ code: 0, stdout: expect.stringMatching(/^state {5}position 2, message \d+/m) });
    expect(await run(['serve', '--data-dir', two, '--cluster', 'served'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('belongs to another stream'),
    });
  });
});
