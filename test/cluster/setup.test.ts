import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { openJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { streamNames } from '../../src/cluster/jetstream/stream-names.ts';
import { configOf } from '../../src/cluster/jetstream/stream-settings.ts';
import { projectRoot } from '../support/dist.ts';
import { end, findProgram, freePort, launch } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { message, Received } from './support/command-stream-suite.ts';
import { eventually } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';

const page = await readFile(join(projectRoot, 'docs/cluster.md'), 'utf8');

/** Returns the first code block of a language. */
function block(language: string): string {
  const found = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/cluster.md has no block in ${language}.`);
  return found;
}

test('the documented stream is the one that is created', () => {
  const documented = JSON.parse(block('json')) as StreamConfig;
  const epoch = documented.metadata?.['acc-epoch'] ?? '';
  const created = configOf(streamNames('plans'), { replicas: 3, maxBytes: 1024 ** 3, epoch });
  expect(documented).toEqual(created);
});

const isPossible = findProgram('openssl', undefined) !== undefined;

describeOn(['2.15'], 'the documented set-up', (release) => {
  test.skipIf(!isPossible)('gives three servers with TLS and users, that sync every write', async () => {
    const folder = await tempDir('cluster-setup');
    const commands = block('sh').replace(/DNS:n1.*n3\.example\.com/, 'DNS:localhost');
    await promisify(execFile)('sh', ['-ec', commands], { cwd: folder });
    const ports = new Map<string, number>();
    for (const machine of [1, 2, 3]) {
      for (const port of [4222, 6222, 8222]) ports.set(`n${machine}.example.com:${port}`, await freePort());
    }
    const at = (text: string) =>
      text.replaceAll(/n\d\.example\.com:\d{4}/g, (address) => `localhost:${ports.get(address)}`);
    const children = await Promise.all(
      [1, 2, 3].map(async (machine) => {
        const home = join(folder, String(machine));
        mkdirSync(home);
        const text = at(
          block('conf')
            .replace('server_name: n1', `server_name: n${machine}`)
            .replaceAll('0.0.0.0:', `n${machine}.example.com:`),
        );
        const own = text.replaceAll('/etc/nats', folder).replaceAll('/var/lib/nats', join(home, 'data'));
        writeFileSync(join(home, 'nats.conf'), own);
        const monitor = at(`http://n${machine}.example.com:8222`);
        return launch({
          program: release.program,
          args: ['-c', join(home, 'nats.conf')],
          logFile: join(home, 'server.log'),
          answers: async () => (await fetch(`${monitor}/varz`).catch(() => undefined))?.ok === true,
        });
      }),
    );
    try {
      const servers = [1, 2, 3].map((machine) => at(`n${machine}.example.com:4222`));
      const tls = { caFile: join(folder, 'ca.pem') };
      await eventually(async () => {
        const admin = await connect({ servers, tls, user: 'admin', pass: 'change-this' });
        try {
          const manager = await jetstreamManager(admin, { timeout: 3_000 });
          return await manager.streams.add(JSON.parse(block('json')));
        } finally {
          await admin.close();
        }
      });
      const monitors = [1, 2, 3].map((machine) => at(`http://n${machine}.example.com:8222`));
      const connection = { user: 'node', pass: 'change-this-too', tls, inboxPrefix: '_INBOX_plans' };
      const stream = await openJetStream({ servers, name: 'plans', connection, monitors });
      const got = new Received();
      stream.follow(0, got.receive, got.failed);
      expect(await stream.publish(message('a'))).toBe(1);
      await got.holds(1);
      expect(await stream.info()).toMatchObject({ replicas: 3, syncs: true, serverVersion: release.version });
      await stream.purge(1);
      await stream.close();
      await expect(connect({ servers, tls, user: 'node', pass: 'wrong' })).rejects.toThrow(/uthorization/);
      const untrusting = openJetStream({ servers, name: 'plans', connection: { ...connection, tls: {} } });
      await expect(untrusting).rejects.toThrow(/UNABLE_TO_VERIFY_LEAF_SIGNATURE.*certificate authority/);
      // The client takes the name that it expects from here.
      const expecting: typeof tls = Object.assign({ servername: 'n9.example.com' }, tls);
      const otherName = openJetStream({ servers, name: 'plans', connection: { ...connection, tls: expecting } });
      await expect(otherName).rejects.toThrow(/ERR_TLS_CERT_ALTNAME_INVALID.*other names/);
    } finally {
      await Promise.all(children.map((child) => end(child, 'SIGKILL')));
    }
  });
});
