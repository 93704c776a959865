import type { Command } from 'commander';
import type { DumpRange } from '../../serve/json-lines.ts';
import { integer, moment, onlyNamespaceOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';

/** `dump`, `log` and `health`: everything there is. */
export function addRead(program: Command, session: Session): void {
  addDump(program, session);
  addLog(program, session);
  addHealth(program, session);
}

function addDump(program: Command, session: Session): void {
  const dump = program
    .command('dump')
    .description('print every entry, a line of JSON each, sorted by namespace and key')
    .addOption(onlyNamespaceOption())
    .option('--at <moment>', 'as they were at this position, or at this time (2026-01-31T12:00:00Z)', moment);
  example(dump, 'dump', 'dump --namespace trip > trip.ndjson', 'dump --at 2', 'dump --at 2026-01-31T12:00:00Z');
  does<DumpRange>(session, dump, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    await output.writeAll(target.dump({ at: options.at, namespace: options.namespace }), 'Dumping');
  });
}

interface LogOptions {
  readonly from?: number;
  readonly to?: number;
  readonly namespace?: string;
}

function addLog(program: Command, session: Session): void {
  const log = program
    .command('log')
    .description('print every update, a line of JSON each, oldest first')
    .option('--from <position>', 'begin with this position', integer)
    .option('--to <position>', 'end with this position', integer)
    .addOption(onlyNamespaceOption());
  example(log, 'log > run.ndjson', 'log --from 1 --to 100 --namespace trip');
  does<LogOptions>(session, log, async ({ output, dataDir, options }) => {
    const { from, to, namespace } = options;
    if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from must not be beyond --to.');
    await using target = await openTarget({ dataDir, output });
    const range = {
      ...(from === undefined || from === 0 ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(namespace === undefined ? {} : { namespace }),
    };
    await output.writeAll(target.log(range), 'Reading the log');
  });
}

function addHealth(program: Command, session: Session): void {
  const health = program.command('health').description('print how the cache is doing');
  example(health, 'health', 'health --json');
  does(session, health, async ({ output, dataDir }) => {
    await using target = await openTarget({ dataDir, output });
    const answer = await target.ask({ type: 'cache.health' });
    await output.result(answer, JSON.stringify(answer, null, 2));
  });
}
