import { type Command, Option } from 'commander';
import type { Contradictions, Impact, Provenance, TracedLink, TracedWrite } from '../../types.ts';
import { integer, namespaceOption, onlyNamespaceOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { EXIT, UsageError } from '../terminal/failure.ts';
import { shownName } from '../terminal/format.ts';

interface TraceFlags {
  readonly namespace?: string;
  readonly at?: number;
  readonly limit?: number;
  readonly dot?: boolean;
}

/** `provenance`, `impact` and `contradictions`: follow the bases of writes. */
export function addTrace(program: Command, session: Session): void {
  addProvenance(program, session);
  addImpact(program, session);
  addContradictions(program, session);
}

function addProvenance(program: Command, session: Session): void {
  const provenance = program
    .command('provenance')
    .description('print the writes behind an entry, which their bases name, one JSON object per line, nearest first')
    .argument('<key>', 'the key')
    .addOption(namespaceOption())
    .option('--at <position>', 'the entry as it was at this position', integer)
    .addOption(limitOption())
    .addOption(dotOption());
  example(provenance, 'provenance plan --namespace trip', 'provenance plan -n trip --dot > plan.dot');
  does<TraceFlags>(session, provenance, async ({ output, dataDir, options, args }) => {
    await using target = await openTarget({ dataDir, output });
    const [key = ''] = args;
    const { namespace, at, limit, dot } = options;
    const found = (await target.ask({ type: 'context.provenance', key, namespace, at, limit })) as
      | Provenance
      | undefined;
    if (found === undefined) {
      output.message(`The namespace ${shownName(namespace ?? 'default')} has no key ${shownName(key)}.`);
      return EXIT.notFound;
    }
    if (output.json) await output.writeJson(found);
    else if (dot) await output.write(dotOf(found));
    else await output.write(linesOf(found.writes));
    if (found.open.length === 1) output.message('1 reading cannot be followed; --json names it.');
    if (found.open.length > 1) output.message(`${found.open.length} readings cannot be followed; --json names them.`);
    if (found.more) output.message('There are more writes. Raise --limit.');
    return undefined;
  });
}

function addImpact(program: Command, session: Session): void {
  const impact = program
    .command('impact')
    .description('print the later writes that are based on a write, one JSON object per line, nearest first')
    .argument('<write>', 'position of the write; with --namespace the key whose last write is meant')
    .addOption(new Option('-n, --namespace <name>', 'namespace of the key'))
    .addOption(limitOption())
    .addOption(dotOption());
  example(impact, 'impact 1', 'impact plan --namespace trip', 'impact 1 --dot > impact.dot');
  does<TraceFlags>(session, impact, async ({ output, dataDir, options, args }) => {
    const [write = ''] = args;
    const { namespace, limit, dot } = options;
    const position = Number(write);
    if (namespace === undefined && !(Number.isSafeInteger(position) && position > 0))
      throw new UsageError('Give the position of a write, an integer from 1, or a key with --namespace.');
    await using target = await openTarget({ dataDir, output });
    const which = namespace === undefined ? { position } : { key: write, namespace };
    const found = (await target.ask({ type: 'context.impact', ...which, limit })) as Impact;
    if (output.json) await output.writeJson(found);
    else if (dot) await output.write(dotOf(found));
    else await output.write(linesOf(found.writes));
    const agents = found.agents.map((each) => `${each.agent ?? 'no agent'} (${each.writes})`).join(', ');
    const later = found.writes.length - 1;
    const count = later === 1 ? '1 later write' : `${later} later writes`;
    output.message(later === 0 ? 'No later write is based on it.' : `${count}, of ${agents}.`);
    if (found.more) output.message('There are more writes. Raise --limit.');
  });
}

interface ContradictionsFlags {
  readonly namespace?: string;
  readonly since?: number;
  readonly limit?: number;
}

function addContradictions(program: Command, session: Session): void {
  const contradictions = program
    .command('contradictions')
    .description('print pairs of writes of which the later did not know of the earlier, one JSON object per line')
    .addOption(onlyNamespaceOption())
    .option('--since <position>', 'only those whose later write has a position after this one', integer)
    .option('--limit <count>', 'at most this many, up to 100,000; default 10,000', integer);
  example(contradictions, 'contradictions', 'contradictions --namespace trip --since 2');
  does<ContradictionsFlags>(session, contradictions, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    const { namespace, since, limit } = options;
    const page = (await target.ask({ type: 'context.contradictions', namespace, since, limit })) as Contradictions;
    if (output.json) {
      await output.writeJson(page);
      return;
    }
    await output.write(page.contradictions.map((each) => `${JSON.stringify(each)}\n`).join(''));
    const count = page.contradictions.length === 1 ? '1 contradiction' : `${page.contradictions.length} contradictions`;
    output.message(`${count}. ${page.more ? 'There may be more. ' : ''}Go on with --since ${page.next}.`);
  });
}

function limitOption(): Option {
  return new Option('--limit <count>', 'at most this many writes, up to 100,000; default 10,000').argParser(integer);
}

function dotOption(): Option {
  return new Option('--dot', 'print the graph in the DOT language of Graphviz');
}

function linesOf(writes: readonly TracedWrite[]): string {
  return writes.map((write) => `${JSON.stringify(write)}\n`).join('');
}

/** Returns a graph in the DOT language. An arrow leads from a write to one that is based on it; it is dashed if that is not certain. */
function dotOf({
  writes,
  links,
}: {
  readonly writes: readonly TracedWrite[];
  readonly links: readonly TracedLink[];
}): string {
  const nodes = writes.map(({ position, namespace, key, operation, agent, depth }) => {
    const about = `${position} ${operation}\n${namespace} ${key ?? ''}\n${agent ?? 'no agent'}`;
    return `  ${position} [label=${quoted(about)}${depth === 0 ? ', style=bold' : ''}];\n`;
  });
  const arrows = links.map(
    ({ cause, effect, certain }) => `  ${cause} -> ${effect}${certain ? '' : ' [style=dashed]'};\n`,
  );
  return `digraph writes {\n  node [shape=box];\n${nodes.join('')}${arrows.join('')}}\n`;
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}
