import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type VerifyProblem, type VerifyReport, verifyDirectory } from '../../index.ts';
import { inFlags } from '../config/flag-words.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { connectServed, whenUnlocked } from '../target.ts';
import { EXIT, exitCodeOf } from '../terminal/failure.ts';
import { shownAmount, shownCount, shownName } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';
import { interruption } from '../terminal/signals.ts';

interface VerifyFlags {
  readonly against?: string;
  readonly repair?: boolean;
}

/** `verify`: compares everything with its checksums and with each other, and reports differences. */
export function addVerify(program: Command, session: Session): void {
  const verify = program
    .command('verify')
    .description('check that everything is as it was written, and report where it is not')
    .option('--against <store>', 'compare with a mirror or a backup: a redis:// URL, or a directory of snapshots')
    .option('--repair', 'rebuild an index that is wrong or missing, from base and log, which are not changed');
  example(
    verify,
    'verify',
    'verify --repair',
    'verify --against ./snapshots',
    'verify --against redis://127.0.0.1:6379 --json',
  );
  does<VerifyFlags>(session, verify, (context) => runVerify(context, verify));
}

async function runVerify({ output, dataDir, options }: Context<VerifyFlags>, command: Command): Promise<number> {
  try {
    const report = await verified(output, dataDir, options);
    await print(output, report, resolve(dataDir));
    return report.ok ? EXIT.ok : EXIT.failure;
  } catch (error) {
    output.error(inFlags(error, command));
    const code = exitCodeOf(error);
    // 1 means that problems were found.
    return code === EXIT.failure ? EXIT.unchecked : code;
  }
}

async function verified(output: Output, dataDir: string, { against, repair }: VerifyFlags): Promise<VerifyReport> {
  using progress = new Progress(output, 'Verifying');
  using interrupted = interruption();
  return whenUnlocked(output, async () => {
    const client = await connectServed(dataDir);
    if (client !== undefined) {
      try {
        const store = against === undefined || /^rediss?:/.test(against) ? against : resolve(against);
        return await client.ask({ type: 'cache.verify', against: store, repair });
      } finally {
        await client.shutdown();
      }
    }
    return verifyDirectory(dataDir, {
      ...{ against, repair },
      signal: interrupted.signal,
      onProgress: ({ stage, done }) => progress.count(done, stage),
    });
  });
}

async function print(output: Output, report: VerifyReport, dataDir: string): Promise<void> {
  if (output.json) {
    await output.writeJson(report);
    return;
  }
  const { ok, position, digest, checked, problems, moreProblems, repaired, notes } = report;
  for (const problem of problems) await output.write(`${problemLine(problem)}\n`);
  if (moreProblems > 0) await output.write(`… and ${shownAmount(moreProblems, 'more problem')}\n`);
  for (const reason of repaired) output.message(`Repaired: ${reason}`);
  if (repaired.length > 0) output.message('The index was rebuilt from base and log.');
  const counts = Object.entries(checked).filter(([, count]) => count > 0);
  output.message(`Checked: ${counts.map(([what, count]) => `${shownCount(count)} ${what}`).join(', ')}.`);
  for (const note of notes) output.message(`Note: ${note}`);
  const found = ok ? 'is whole' : `has ${shownAmount(problems.length + moreProblems, 'problem')}`;
  output.message(`${dataDir} ${found}: position ${shownCount(position)}, digest ${digest}.`);
}

/** `state  namespace trip, key plan: The entry is missing.` */
function problemLine({ kind, where, message }: VerifyProblem): string {
  const locations = Object.entries(where).map(([what, value]) =>
    typeof value === 'string' ? `${what} ${shownName(value)}` : `${what} ${value}`,
  );
  return locations.length === 0 ? `${kind}: ${message}` : `${kind} (${locations.join(', ')}): ${message}`;
}
