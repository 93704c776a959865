import type { Command } from 'commander';
import type { DumpRange } from '../../serve/json-lines.ts';
import { integer, onlyNamespaceOption, positionOrTime } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { keptFrom, keptRange, openTarget } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownCount, shownJson } from '../terminal/format.ts';

/** `dump`, `log` and `health`: read the whole cache. */
export function addRead(program: Command, session: Session): void {
  addDump(program, session);
  addLog(program, session);
  addHealth(program, session);
}

function addDump(program: Command, session: Session): void {
  const dump = program
    .command('dump')
    .description('print every entry, one JSON object per line, sorted by namespace and key')
    .addOption(onlyNamespaceOption())
    .option('--at <view>', 'print the entries at this position, or time such as 2026-01-31T12:00:00Z', positionOrTime);
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
    .description('print every update, one JSON object per line, oldest first')
    .option('--from <position>', 'first position', integer)
    .option('--to <position>', 'last position', integer)
    .addOption(onlyNamespaceOption());
  example(log, 'log > run.ndjson', 'log --from 1 --to 100 --namespace trip');
  does<LogOptions>(session, log, async ({ output, dataDir, options }) => {
    const { from, to, namespace } = options;
    if (from !== undefined && to !== undefined && from > to)
      throw new UsageError('--from must not be greater than --to.');
    await using target = await openTarget({ dataDir, output });
    const range = {
      ...(from === undefined || from === 0 ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(namespace === undefined ? {} : { namespace }),
    };
    await output.writeAll(target.log(range), 'Reading the log');
    const { head, first } = await keptRange(target);
    if (range.from === undefined && first > 1) output.message(keptFrom(first));
    if (from !== undefined && from > head) output.message(`The log ends at position ${shownCount(head)}.`);
  });
}

function addHealth(program: Command, session: Session): void {
  const health = program
    .command('health')
    .description('print the state of the cache, its log, its followers and its backup');
  example(health, 'health', 'health --json');
  does(session, health, async ({ output, dataDir }) => {
    await using target = await openTarget({ dataDir, output });
    const answer = await target.ask({ type: 'cache.health' });
    await output.result(answer, shownJson(answer));
  });
}
