import type { Command } from 'commander';
import { natsOption, redisOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { lookAtDirectory } from '../doctor/directory.ts';
import type { AskedServer, Finding } from '../doctor/finding.ts';
import { lookAtClock, lookAtNode } from '../doctor/machine.ts';
import { lookAtNats } from '../doctor/nats.ts';
import { lookAtRedis } from '../doctor/redis.ts';
import { EXIT } from '../terminal/failure.ts';
import { Progress } from '../terminal/progress.ts';

interface DoctorFlags {
  readonly nats?: string;
  readonly redis?: string;
}

/** `doctor`: whether everything that is needed is there, and what to do where it is not. */
export function addDoctor(program: Command, session: Session): void {
  const redis = redisOption('it must be there');
  const nats = natsOption('it must be there');
  const doctor = program
    .command('doctor')
    .description('look at Node, the data directory, the clock, Redis and NATS, and say what to do')
    .addOption(redis)
    .addOption(nats);
  example(doctor, 'doctor', 'doctor --redis --nats', 'doctor --json');
  does<DoctorFlags>(session, doctor, async (context) => {
    const servers = {
      redis: serverOf(context.options.redis, redis.server),
      nats: serverOf(context.options.nats, nats.server),
    };
    return runDoctor(context, servers);
  });
}

/** Who is to be asked: the one that is named, or the one that would be if somebody did. */
function serverOf(
  url: string | undefined,
  place: { readonly env: string; readonly local: string } | undefined,
): AskedServer {
  const named = url ?? (process.env[place?.env ?? ''] || undefined);
  return { url: named ?? place?.local ?? '', named: named !== undefined };
}

async function runDoctor(
  { output, dataDir }: Context<DoctorFlags>,
  servers: { readonly redis: AskedServer; readonly nats: AskedServer },
): Promise<number> {
  using progress = new Progress(output, 'Looking');
  const [directory, redis, nats] = await Promise.all([
    lookAtDirectory(dataDir, output),
    lookAtRedis(servers.redis),
    lookAtNats(servers.nats),
  ]);
  const findings = [lookAtNode(), ...directory.findings, lookAtClock(directory.lastUpdateAt), ...redis, ...nats];
  progress[Symbol.dispose]();
  const code = codeOf(findings);
  const text = findings.map((finding) => shown(finding, output.paint)).join('\n');
  await output.result({ ok: code === EXIT.ok, findings }, text);
  if (code === EXIT.ok) output.message('Nothing is in the way.');
  return code;
}

function codeOf(findings: readonly Finding[]): number {
  if (findings.some(({ status }) => status === 'problem')) return EXIT.failure;
  return findings.some(({ status }) => status === 'unreachable') ? EXIT.unreachable : EXIT.ok;
}

const STYLES = { ok: 'green', note: 'dim', warning: 'yellow', problem: 'red', unreachable: 'red' } as const;

function shown({ check, status, message, remedy }: Finding, paint: Context<unknown>['output']['paint']): string {
  const line = `${paint(STYLES[status], status.padEnd(11))}  ${check.padEnd(9)}  ${message}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(24)}${remedy}`;
}
