import { resolve } from 'node:path';
import type { NatsConnectionSettings } from '../../nats.ts';
import { UsageError } from '../terminal/failure.ts';
import { CliOption } from './cli-option.ts';

/** The flags that name a cluster and its servers. */
export interface ClusterFlags {
  readonly cluster?: string;
  readonly clusterServers?: string;
  readonly clusterCredentials?: string;
  readonly clusterCa?: string;
  readonly clusterCert?: string;
  readonly clusterKey?: string;
  readonly clusterInbox?: string;
}

/** How to reach a cluster, as the library takes it. */
export interface ClusterAddress {
  readonly name: string;
  readonly servers: string;
  readonly connection: NatsConnectionSettings;
}

const LOCAL = 'nats://127.0.0.1:4222';

/** `--cluster NAME` and the options for its servers. Passwords are not among them: they belong into the environment or a file. */
export function clusterOptions(what: string): CliOption[] {
  const servers = new CliOption(
    '--cluster-servers <urls>',
    `NATS servers of the cluster, separated by commas (default: CLUSTER_SERVERS, NATS_URL, or ${LOCAL})`,
  );
  servers.env('CLUSTER_SERVERS');
  return [
    new CliOption('--cluster <name>', what),
    servers,
    new CliOption('--cluster-credentials <file>', 'credentials file (.creds) for these servers'),
    new CliOption('--cluster-ca <file>', 'certificate authority of these servers, for TLS'),
    new CliOption('--cluster-cert <file>', 'certificate of this client, for TLS'),
    new CliOption('--cluster-key <file>', 'private key of this client, for TLS'),
    new CliOption('--cluster-inbox <prefix>', 'prefix of the subjects of answers, if the permissions require one'),
  ];
}

/**
 * Returns how to reach the cluster that the flags name; `undefined` without `--cluster`.
 *
 * @throws {UsageError} if there are other flags of a cluster and no name, or a certificate without its key.
 */
export function clusterFor(
  flags: ClusterFlags,
  isFlag: (name: keyof ClusterFlags & string) => boolean,
): ClusterAddress | undefined {
  const { cluster, clusterServers, clusterCredentials, clusterCa, clusterCert, clusterKey, clusterInbox } = flags;
  if (cluster === undefined) {
    const others = [
      'clusterServers',
      'clusterCredentials',
      'clusterCa',
      'clusterCert',
      'clusterKey',
      'clusterInbox',
    ] as const;
    if (others.some(isFlag)) throw new UsageError('Name the cluster: add --cluster NAME.');
    return undefined;
  }
  if ((clusterCert === undefined) !== (clusterKey === undefined)) {
    throw new UsageError('--cluster-cert and --cluster-key belong together: give both.');
  }
  const tls = {
    ...(clusterCa === undefined ? {} : { caFile: resolve(clusterCa) }),
    ...(clusterCert === undefined ? {} : { certFile: resolve(clusterCert) }),
    ...(clusterKey === undefined ? {} : { keyFile: resolve(clusterKey) }),
  };
  return {
    name: cluster,
    servers: clusterServers ?? (process.env.NATS_URL || LOCAL),
    connection: {
      ...(clusterCredentials === undefined ? {} : { credentials: resolve(clusterCredentials) }),
      ...(Object.keys(tls).length === 0 ? {} : { tls }),
      ...(clusterInbox === undefined ? {} : { inboxPrefix: clusterInbox }),
    },
  };
}

/**
 * Returns how to reach the cluster that a command is about.
 *
 * @throws {UsageError} without `--cluster`.
 */
export function requiredCluster(
  flags: ClusterFlags,
  isFlag: (name: keyof ClusterFlags & string) => boolean,
): ClusterAddress {
  const address = clusterFor(flags, isFlag);
  if (address === undefined) throw new UsageError('Name the cluster: add --cluster NAME.');
  return address;
}
