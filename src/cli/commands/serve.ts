import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isDataDirectory } from '../../engine/restore.ts';
import type { CacheHealth, ShutdownReport } from '../../index.ts';
import { CliOption } from '../config/cli-option.ts';
import { type ClusterFlags, clusterFor, clusterOptions } from '../config/cluster-options.ts';
import {
  backupDirOption,
  duration,
  natsFor,
  natsOption,
  port,
  redisFor,
  redisOption,
  redisPrefixOption,
  subjectIdOption,
  topicOption,
} from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { rehearseOpening } from '../rehearsal.ts';
import { Serving } from '../serving.ts';
import { storeOf } from '../snapshots.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import { jsonLogger, LEVELS, type Level } from '../terminal/log-lines.ts';
import type { Output } from '../terminal/output.ts';
import { aborted, interruption } from '../terminal/signals.ts';
import { shownNode } from './cluster-node.ts';
import { type KeepFlags, keepOf, withKeep } from './compact.ts';

interface ServeFlags extends KeepFlags, ClusterFlags {
  readonly node?: string;
  readonly snapshots?: string;
  readonly port?: number;
  readonly nats?: string;
  readonly commandsSubject: string;
  readonly commandsAgent?: string;
  readonly topic?: string[];
  readonly redis?: string;
  readonly redisPrefix?: string;
  readonly subjectId?: string;
  readonly backupDir?: string;
  readonly logLevel?: Level;
  readonly drainTimeout: number;
  readonly mcpBranches: boolean;
}

/** `serve`: holds the directory open and answers other processes. */
export function addServe(program: Command, session: Session): void {
  const serve = program
    .command('serve')
    .description('hold the data directory open and serve the other commands, HTTP on 127.0.0.1, and NATS, until Ctrl-C')
    .option('--port <port>', 'HTTP port (default: a free one)', port)
    .addOption(natsOption('broadcast to this NATS server and take commands from it'))
    .option('--commands-subject <subject>', 'NATS subject to take commands from', 'context-cache.commands')
    .option('--commands-agent <name>', 'agent that commands over NATS come from; needed if the cache has grants')
    .addOption(topicOption())
    .addOption(subjectIdOption())
    .addOption(redisOption('mirror to this Redis server, and store snapshots there'))
    .addOption(redisPrefixOption())
    .addOption(
      backupDirOption(
        'store snapshots in this directory (default: the Redis server, or "backups" in the data directory)',
      ),
    )
    .addOption(
      new CliOption('--log-level <level>', 'write log lines of this level and above to stderr, as JSON').choices(
        LEVELS,
      ),
    )
    .option('--mcp-branches', 'add the tools fork, merge and discard to the MCP server at /mcp', false)
    .option('--drain-timeout <duration>', 'longest wait for NATS and Redis at the end', duration, 5_000);
  for (const option of clusterOptions('be a node of this cluster')) serve.addOption(option);
  serve
    .option('--node <name>', 'name of this node in the cluster (default: a random one)')
    .option('--snapshots <where>', 'snapshots that all nodes of the cluster share: a redis:// URL or a directory');
  withKeep(serve);
  example(
    serve,
    'serve',
    'serve --redis redis://127.0.0.1:6379 --nats nats://127.0.0.1:4222 --topic agents.context',
    'serve --backup-dir ./snapshots --keep 30d',
  );
  does<ServeFlags>(session, serve, runServe);
}

async function runServe({ output, dataDir, options, isFlag }: Context<ServeFlags>): Promise<undefined> {
  const { backupDir, topic, subjectId, commandsSubject: subject } = options;
  const nats = natsFor(options.nats, topic);
  if (/[\s*>]|^$|^\.|\.\.|\.$/.test(subject))
    throw new UsageError('--commands-subject takes one NATS subject, such as agents.commands.');
  if (options.commandsAgent !== undefined && (options.commandsAgent === '' || options.commandsAgent.length > 1_024))
    throw new UsageError('--commands-agent takes a name of 1 to 1,024 characters.');
  const redis = redisFor(options);
  const address = clusterFor(options, isFlag);
  if (address === undefined && (options.node ?? options.snapshots) !== undefined) {
    throw new UsageError('--node and --snapshots are for a node of a cluster: add --cluster NAME.');
  }
  const cluster = address && { ...address, node: options.node, snapshots: options.snapshots };
  const target = { dataDir, redis, backupDir };
  const log = keepOf(options);
  if (!(await isDataDirectory(dataDir)))
    await rehearseOpening({ nats, redis, topics: topic, cache: { subjectId, log } });
  using interrupted = interruption();
  const serving = await Serving.start({
    dataDir,
    output,
    port: options.port,
    mcp: { branches: options.mcpBranches },
    commands: nats === undefined ? undefined : { url: nats, subject, agent: options.commandsAgent },
    cache: {
      ...{ natsUrl: nats ?? null, redisUrl: redis, cluster },
      // The nodes of a cluster share their snapshots, if they have any.
      backup: options.snapshots === undefined ? { store: storeOf(target) } : undefined,
      ...{ passivateAfterMs: undefined, subjectId, log },
      logger: options.logLevel && jsonLogger(options.logLevel, (line) => output.logLine(line)),
    },
  });
  try {
    if (topic !== undefined) await serving.cache.setTopicsList(topic);
    await announce(output, dataDir, serving);
    if (nats !== undefined) output.message(`Commands are taken from NATS on ${subject}.`);
    await aborted(interrupted.signal);
  } finally {
    output.message('Stopping …');
    reportUnfinished(output, await serving.close(options.drainTimeout));
  }
}

async function announce(output: Output, dataDir: string, { port, cache }: Serving): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  if (output.json) await output.writeJson({ dataDir: resolve(dataDir), url, pid: process.pid });
  output.message(`Serving ${resolve(dataDir)} on ${url}; the token is in its serve.json. Press Ctrl-C to stop.`);
  output.message(stateOf(cache.health()));
  const { cluster } = cache.health();
  if (cluster !== undefined) output.message(shownNode(cluster));
}

function stateOf({ log, namespaces, topics, backup }: CacheHealth): string {
  const broadcast = topics.length === 0 ? 'no topics' : `topics ${topics.join(', ')}`;
  const backups = backup?.enabled ? `snapshots ${backup.settings.mode}` : 'no automatic snapshots';
  return `${shownAmount(namespaces.total, 'namespace')}, position ${shownCount(log.head)}, ${broadcast}, ${backups}.`;
}

/** Warns about everything that a shutdown leaves to the next start. */
export function reportUnfinished(
  output: Output,
  { undelivered, unfinishedCommands, backupError }: ShutdownReport,
): void {
  for (const { follower, updates, lastError } of undelivered) {
    if (follower === 'index') continue;
    const why = lastError === undefined ? '' : ` Last error: ${lastError}`;
    const text = `The ${follower} still has to deliver ${shownAmount(updates, 'update')}; the next start continues there.${why}`;
    output.warning(new Error(text));
  }
  if (unfinishedCommands) output.warning(new Error('Some commands did not end in time.'));
  if (backupError !== undefined) output.warning(backupError);
}
