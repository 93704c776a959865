import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { ContextCacheError, type NamespaceSchemas } from '../../index.ts';
import type { Migration, RefusedValue, SchemaReport } from '../../types.ts';
import { inFlags } from '../config/flag-words.ts';
import { integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { CLOSE_MS, openOrConnect } from '../target.ts';
import { EXIT, exitCodeOf, UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount, shownName } from '../terminal/format.ts';
import { Progress } from '../terminal/progress.ts';
import { interruption } from '../terminal/signals.ts';

interface CheckFlags {
  readonly module: string;
  readonly from?: number;
  readonly to?: number;
  readonly limit?: number;
}

/** `check-schemas`: reports which recorded and present values a module's schemas refuse. */
export function addCheckSchemas(program: Command, session: Session): void {
  const check = program
    .command('check-schemas')
    .description('report which recorded and present values a new version of the schemas refuses')
    .requiredOption(
      '--module <file>',
      'JavaScript module that exports schemas, or has them as its default, and may export migrations',
    )
    .option('--from <position>', 'first position whose value is checked; default: the oldest that is kept', integer)
    .option('--to <position>', 'last position whose value is checked; default: the last one', integer)
    .option('--limit <count>', 'print at most this many recorded and as many present values; default 100', integer);
  example(check, 'check-schemas --module schemas.js', 'check-schemas --module schemas.js --from 1 --to 2 --json');
  does<CheckFlags>(session, check, (context) => runCheck(context, check));
}

async function runCheck(context: Context<CheckFlags>, command: Command): Promise<number> {
  const { output } = context;
  try {
    const report = await checked(context);
    if (output.json) await output.writeJson(report);
    else await print(context, report);
    return report.ok ? EXIT.ok : EXIT.failure;
  } catch (error) {
    output.error(inFlags(error, command));
    const code = exitCodeOf(error);
    // 1 means that values were refused.
    return code === EXIT.failure ? EXIT.unchecked : code;
  }
}

async function checked({ output, dataDir, options }: Context<CheckFlags>): Promise<SchemaReport> {
  const { module, from, to, limit } = options;
  const { schemas, migrations } = await exportsOf(module);
  using progress = new Progress(output, 'Checking');
  using interrupted = interruption();
  const cache = await openOrConnect({ dataDir, output });
  try {
    return await cache.checkSchemas(schemas, {
      ...{ from, to, limit, migrations, signal: interrupted.signal },
      onProgress: ({ stage, done, fraction }) => progress.count(done, `${stage} values`, fraction),
    });
  } finally {
    await cache.shutdown({ timeoutMs: CLOSE_MS });
  }
}

/** Loads the schemas of a module and, if it has any, its migrations. */
async function exportsOf(
  module: string,
): Promise<{ readonly schemas: NamespaceSchemas; readonly migrations: readonly Migration[] | undefined }> {
  const path = resolve(module);
  let exported: { readonly default?: unknown; readonly schemas?: unknown; readonly migrations?: readonly Migration[] };
  try {
    exported = await import(pathToFileURL(path).href);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ContextCacheError('INVALID_OPTION', `The module ${path} cannot be loaded: ${reason}`, { cause });
  }
  const schemas = exported.schemas ?? exported.default;
  if (schemas !== undefined) return { schemas: schemas as NamespaceSchemas, migrations: exported.migrations };
  throw new UsageError(`The module ${path} exports no schemas. Write: export const schemas = { trip: … };`);
}

async function print({ output }: Context<CheckFlags>, report: SchemaReport): Promise<void> {
  const { checked, refused, unreadable, recorded, present, from, to, more } = report;
  for (const each of recorded) await output.write(lineOf('recorded', each));
  for (const each of present) await output.write(lineOf('present', each));
  if (more) output.message('There are more refused values. Raise --limit.');
  const missing = unreadable.recorded + unreadable.present;
  if (missing > 0) {
    const values = shownAmount(missing, 'value');
    output.message(`Not checked: ${values} with forgotten parts, or with parts whose key is not available here.`);
  }
  const range = to < from ? 'no position' : `positions ${shownCount(from)} to ${shownCount(to)}`;
  const share = (which: 'recorded' | 'present') =>
    `${shownCount(refused[which])} of ${shownCount(checked[which])} ${which} values`;
  output.message(`The schemas refuse ${share('recorded')} (${range}) and ${share('present')}.`);
}

/** `recorded 12  trip plan  planner: city: expected string`. */
function lineOf(kind: 'recorded' | 'present', { namespace, key, position, agent, issues }: RefusedValue): string {
  const at = position === null ? 'in no update that is kept' : `${position}`;
  const names = `${shownName(namespace)} ${shownName(key)}`;
  return `${kind} ${at}  ${names}  ${agent === null ? 'no agent' : shownName(agent)}: ${issues.join('; ')}\n`;
}
