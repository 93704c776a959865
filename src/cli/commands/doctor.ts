import type { Command } from 'commander';
import { type ClusterFlags, clusterFor, clusterOptions } from '../config/cluster-options.ts';
import { natsOption, redisOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { checkCluster } from '../doctor/cluster.ts';
import { checkDirectory } from '../doctor/directory.ts';
import type { CheckedServer, Finding } from '../doctor/finding.ts';
import { checkClock, checkNode } from '../doctor/machine.ts';
import { checkNats } from '../doctor/nats.ts';
import { checkRedis } from '../doctor/redis.ts';
import { EXIT } from '../terminal/failure.ts';
import { Progress } from '../terminal/progress.ts';

interface DoctorFlags extends ClusterFlags {
  readonly nats?: string;
  readonly redis?: string;
}

/** `doctor`: checks that everything the cache needs is there, and says what to do if not. */
export function addDoctor(program: Command, session: Session): void {
  const redis = redisOption('require this Redis server');
  const nats = natsOption('require this NATS server');
  const doctor = program
    .command('doctor')
    .description('check Node, the data directory, the clock, Redis and NATS, and say what to do')
    .addOption(redis)
    .addOption(nats);
  for (const option of clusterOptions('require this cluster')) doctor.addOption(option);
  example(doctor, 'doctor', 'doctor --redis --nats', 'doctor --json');
  does<DoctorFlags>(session, doctor, async (context) => {
    const servers = {
      redis: serverOf(context.options.redis, redis.server),
      nats: serverOf(context.options.nats, nats.server),
    };
    return runDoctor(context, servers);
  });
}

/** Returns the server to check: the named one, otherwise the local one, which may be missing. */
function serverOf(
  url: string | undefined,
  local: { readonly env: string; readonly local: string } | undefined,
): CheckedServer {
  const named = url ?? (process.env[local?.env ?? ''] || undefined);
  return { url: named ?? local?.local ?? '', named: named !== undefined };
}

async function runDoctor(
  { output, dataDir, options, isFlag }: Context<DoctorFlags>,
  servers: { readonly redis: CheckedServer; readonly nats: CheckedServer },
): Promise<number> {
  const address = clusterFor(options, isFlag);
  using progress = new Progress(output, 'Checking');
  const [directory, redis, nats, cluster] = await Promise.all([
    checkDirectory(dataDir, output),
    checkRedis(servers.redis),
    checkNats(servers.nats),
    address === undefined ? [] : checkCluster(address),
  ]);
  const findings = [
    checkNode(),
    ...directory.findings,
    checkClock(directory.lastUpdateAt),
    ...redis,
    ...nats,
    ...cluster,
  ];
  progress[Symbol.dispose]();
  const code = codeOf(findings);
  const text = findings.map((finding) => shown(finding, output.paint)).join('\n');
  await output.result({ ok: code === EXIT.ok, findings }, text);
  if (code === EXIT.ok) output.message('Everything needed is there.');
  return code;
}

function codeOf(findings: readonly Finding[]): number {
  if (findings.some(({ status }) => status === 'problem')) return EXIT.failure;
  if (findings.some(({ status }) => status === 'locked')) return EXIT.locked;
  return findings.some(({ status }) => status === 'unreachable') ? EXIT.unreachable : EXIT.ok;
}

const STYLES = {
  ok: 'green',
  note: 'dim',
  warning: 'yellow',
  problem: 'red',
  locked: 'red',
  unreachable: 'red',
} as const;

function shown({ check, status, message, remedy }: Finding, paint: Context<unknown>['output']['paint']): string {
  const line = `${paint(STYLES[status], status.padEnd(11))}  ${check.padEnd(9)}  ${message}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(24)}${remedy}`;
}
