import type { Command } from 'commander';
import { type ClusterFlags, clusterOptions, requiredCluster } from '../config/cluster-options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';

interface RefoundFlags extends ClusterFlags {
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly snapshots?: string;
  readonly fromSnapshot?: boolean;
  readonly force?: boolean;
}

/** `cluster refound`: replaces a stream that was lost by one that goes on from the state of a node or a snapshot. */
export function addRefound(cluster: Command, session: Session): Command {
  const refound = cluster
    .command('refound')
    .description('replace a lost stream by one that goes on from the data directory of a stopped node, or a snapshot');
  for (const option of clusterOptions('name of the cluster')) refound.addOption(option);
  refound
    .option('--snapshots <where>', 'snapshots that all nodes of the cluster share: a redis:// URL or a directory')
    .option('--from-snapshot', 'go on from the newest whole snapshot instead of the data directory')
    .option('--force', 'also if the stream can be used, or a newer state is known');
  example(
    refound,
    'cluster refound --cluster plans --snapshots redis://127.0.0.1:6379',
    'cluster refound --cluster plans --from-snapshot --snapshots ./shared --replicas 1',
  );
  does<RefoundFlags>(session, refound, runRefound);
  return refound;
}

async function runRefound({ output, dataDir, options, isFlag }: Context<RefoundFlags>): Promise<undefined> {
  const address = requiredCluster(options, isFlag);
  const { snapshots, fromSnapshot = false, force, replicas, maxBytes } = options;
  if (snapshots === undefined) {
    throw new UsageError('Name the snapshots that all nodes share, from which they join: add --snapshots WHERE.');
  }
  const { refoundCluster } = await import('../../cluster.ts');
  const source = fromSnapshot ? {} : { dataDir };
  const founded = await refoundCluster({ ...address, ...source, snapshots, force, replicas, maxBytes });
  const { epoch, previousEpoch, position, sequence, last, snapshot } = founded;
  const lost =
    last === undefined
      ? 'unknown: that stream is gone, has no leader, or was not the one that was replaced'
      : shownAmount(Math.max(0, last - sequence), 'message');
  const text = [
    `epoch     ${epoch}, goes on from ${previousEpoch}`,
    `state     position ${shownCount(position)}, message ${shownCount(sequence)} of the old stream`,
    `lost      ${lost}`,
    `snapshot  ${snapshot}`,
  ].join('\n');
  await output.result({ ...founded, last: last ?? null }, text);
  output.message('Start each node with an empty data directory.');
}
