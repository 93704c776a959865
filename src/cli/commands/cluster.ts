import { type Command, InvalidArgumentError } from 'commander';
import type { ClusterStatus } from '../../cluster.ts';
import type { ClusterHealth } from '../../types.ts';
import { CliOption } from '../config/cli-option.ts';
import { type ClusterFlags, clusterOptions, requiredCluster } from '../config/cluster-options.ts';
import { integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { connectServed } from '../target.ts';
import { EXIT, UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import { shownNode } from './cluster-node.ts';
import { addRefound } from './cluster-refound.ts';

interface InitFlags extends ClusterFlags {
  readonly replicas?: number;
  readonly maxBytes?: number;
}

const MIB = 1024 * 1024;
/** Part of its greatest size from which a stream is reported as nearly full. */
const NEARLY_FULL = 0.8;

/** `cluster`: creates and checks the stream that orders the commands of a cluster. */
export function addCluster(program: Command, session: Session): void {
  const cluster = program.command('cluster').description('create or check a cluster: one memory on many machines');
  const init = cluster
    .command('init')
    .description('create the stream of a cluster in JetStream, or check the one that exists');
  for (const option of clusterOptions('name of the cluster')) init.addOption(option);
  addStreamSize(init, { replicas: '3', maxBytes: '1024' });
  const asBefore = 'as in the old stream';
  addStreamSize(addRefound(cluster, session), { replicas: asBefore, maxBytes: asBefore });
  const status = cluster
    .command('status', { isDefault: true })
    .description('print the stream of a cluster, and the node that serves the data directory');
  for (const option of clusterOptions('name of the cluster')) status.addOption(option);
  const raise = cluster
    .command('raise')
    .description('raise the protocol of the cluster, through the node that serves the data directory');
  raise.option('--protocol <number>', 'the protocol (default: the highest one that all members understand)', integer);
  example(cluster, 'cluster --cluster plans');
  example(
    init,
    'cluster init --cluster plans --replicas 1',
    'cluster init --cluster plans --replicas 1 --max-bytes 4096',
  );
  example(status, 'cluster status --cluster plans', 'cluster status --cluster plans --json');
  example(raise, 'cluster raise', 'cluster raise --protocol 2');
  does<{ readonly protocol?: number }>(session, raise, runRaise);
  does<InitFlags>(session, init, runInit);
  does<ClusterFlags>(session, status, runStatus);
}

/** Adds the flags for replicas and size of a stream, with their defaults in words. */
function addStreamSize(command: Command, defaults: { readonly replicas: string; readonly maxBytes: string }): void {
  const about = `servers that store each message: 1, 3 or 5 (default: ${defaults.replicas})`;
  command.option('--replicas <count>', about, replicas);
  const size = `greatest size of the stream on each server, in MiB (default: ${defaults.maxBytes})`;
  const option = new CliOption('--max-bytes <MiB>', size);
  option.argParser((text) => {
    const mib = integer(text);
    if (mib === 0) throw new InvalidArgumentError('Give a number of MiB from 1.');
    return mib * MIB;
  });
  command.addOption(option);
}

function replicas(text: string): number {
  const count = integer(text);
  if (![1, 3, 5].includes(count)) throw new InvalidArgumentError('Give 1, 3 or 5.');
  return count;
}

async function runInit({ output, options, isFlag }: Context<InitFlags>): Promise<undefined> {
  const address = requiredCluster(options, isFlag);
  const { createCluster, clusterStatus } = await import('../../cluster.ts');
  const { replicas, maxBytes } = options;
  const isNew = await createCluster({ ...address, replicas, maxBytes });
  const stream = await clusterStatus(address);
  await output.result({ created: isNew, stream }, shownStream(stream));
  output.message(isNew ? `Created the cluster ${stream.cluster}.` : `The cluster ${stream.cluster} exists already.`);
}

async function runStatus({ output, dataDir, options, isFlag }: Context<ClusterFlags>): Promise<number> {
  const address = requiredCluster(options, isFlag);
  const { clusterStatus } = await import('../../cluster.ts');
  const node = await nodeOf(dataDir);
  const stream = await clusterStatus(address).catch((error: unknown) => {
    // Without a stream the node is what there is to look at.
    if (node !== undefined) output.message(shownNode(node));
    throw error;
  });
  const text = node === undefined ? shownStream(stream) : `${shownStream(stream)}\n${shownNode(node)}`;
  await output.result({ stream, node: node ?? null }, text);
  if (node === undefined) output.message(`No node of a cluster serves ${dataDir}.`);
  for (const warning of warningsOf(stream)) output.warning(new Error(warning));
  return node?.status === 'failed' ? EXIT.failure : EXIT.ok;
}

async function runRaise({ output, dataDir, options }: Context<{ readonly protocol?: number }>): Promise<undefined> {
  const client = await connectServed(dataDir);
  if (client === undefined) {
    throw new UsageError(`No node serves ${dataDir}. Give the data directory of one that runs: --data-dir DIRECTORY.`);
  }
  try {
    const { protocol } = await client.ask({ type: 'cluster.raise', protocol: options.protocol });
    await output.result({ protocol }, `protocol  ${protocol}`);
  } finally {
    await client.shutdown();
  }
}

/** Returns the condition of the node that serves the directory, if a node does. */
async function nodeOf(dataDir: string): Promise<ClusterHealth | undefined> {
  const client = await connectServed(dataDir);
  if (client === undefined) return undefined;
  try {
    return (await client.health()).cluster;
  } finally {
    await client.shutdown();
  }
}

/** Returns what an operator should look at. */
export function warningsOf({ stream, servers, syncs, bytes, maxBytes, replicas }: ClusterStatus): string[] {
  const warnings = servers
    .filter(({ isOnline, isCurrent }) => !isOnline || !isCurrent)
    .map(({ name, isOnline, lag }) =>
      isOnline
        ? `Server ${name} lacks ${shownAmount(lag, 'message')} of ${stream}.`
        : `Server ${name}, which stores ${stream}, is not online.`,
    );
  if (syncs === false) {
    warnings.push(
      'The servers sync their files now and then, so a power cut of most of them loses acknowledged writes. Set sync_interval: always.',
    );
  }
  if (replicas === 1) warnings.push(`${stream} is stored on one server alone. Without it nothing can be written.`);
  if (maxBytes > 0 && bytes > maxBytes * NEARLY_FULL) {
    warnings.push(
      `${stream} has ${shownMiB(bytes)} of at most ${shownMiB(maxBytes)}. Take snapshots, so that it is purged, or raise its max_bytes.`,
    );
  }
  return warnings;
}

function shownStream(status: ClusterStatus): string {
  const { stream, first, last, bytes, maxBytes, replicas, servers, syncs, serverVersion, epoch } = status;
  const sync = { true: 'every write', false: 'now and then', null: 'unknown' }[String(syncs)];
  const most = maxBytes > 0 ? ` of at most ${shownMiB(maxBytes)}` : '';
  const range = last < first ? 'no messages' : `messages ${shownCount(first)} to ${shownCount(last)}`;
  return [
    `stream    ${stream}: ${range}, ${shownMiB(bytes)}${most}, epoch ${epoch}`,
    `servers   nats-server ${serverVersion}, ${shownAmount(replicas, 'replica')}, synced: ${sync}`,
    ...servers.map(({ name, isLeader, isOnline, isCurrent, lag }) => {
      const state = isLeader ? 'leader' : !isOnline ? 'offline' : isCurrent ? 'current' : `${shownCount(lag)} behind`;
      return `          ${name}: ${state}`;
    }),
  ].join('\n');
}

function shownMiB(bytes: number): string {
  return `${(bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0)} MiB`;
}
