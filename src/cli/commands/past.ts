import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { RemoteContextCache } from '../../client.ts';
import type { CacheView, MaybePromise } from '../../index.ts';
import { updateLine } from '../../serve/json-lines.ts';
import type { Changes } from '../../types.ts';
import type { PositionOrDate } from '../../wire/position.ts';
import { integer, namespaceOption, onlyNamespaceOption, positionOrTime } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { CLOSE_MS, keptFrom, keptRange, openOrConnect, openTarget } from '../target.ts';
import { EXIT, UsageError } from '../terminal/failure.ts';
import { shownName } from '../terminal/format.ts';
import { Progress } from '../terminal/progress.ts';

/** `history`, `changes`, `diff` and `bisect`: read the past. */
export function addPast(program: Command, session: Session): void {
  addHistory(program, session);
  addChanges(program, session);
  addDiff(program, session);
  addBisect(program, session);
}

function addHistory(program: Command, session: Session): void {
  const history = program
    .command('history')
    .description('print the versions of an entry, one JSON object per line, newest first')
    .argument('<key>', 'the key')
    .addOption(namespaceOption());
  example(history, 'history plan --namespace trip', 'history plan -n trip | head -n 1');
  does<{ namespace: string }>(session, history, async ({ output, dataDir, options, args }) => {
    await using target = await openTarget({ dataDir, output });
    const [key = ''] = args;
    const { namespace } = options;
    let isKnown = false;
    async function* noticed(lines: AsyncIterable<string>): AsyncGenerator<string> {
      for await (const chunk of lines) {
        isKnown = true;
        yield chunk;
      }
    }
    await output.writeAll(noticed(target.history(key, namespace)), 'Reading');
    const { first } = await keptRange(target);
    if (first > 1) output.message(keptFrom(first));
    else if (!isKnown) output.message(`The namespace ${shownName(namespace)} has never had a key ${shownName(key)}.`);
  });
}

interface ChangesFlags {
  readonly since: number;
  readonly namespace?: string;
  readonly prefix?: string;
  readonly limit?: number;
}

function addChanges(program: Command, session: Session): void {
  const changes = program
    .command('changes')
    .description('print the last update of each key that has changed since a position, one JSON object per line')
    .requiredOption('--since <position>', 'only changes after this position; 0 for all', integer)
    .addOption(onlyNamespaceOption())
    .option('--prefix <text>', 'only namespaces that start with this text')
    .option('--limit <count>', 'at most this many, up to 10,000; default: all, or 1,000 with --json', integer);
  example(changes, 'changes --since 0', 'changes --since 2 --namespace trip', 'changes --since 0 --limit 100 --json');
  does<ChangesFlags>(session, changes, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    // Not the rest of the options, which has those of every command.
    const { namespace, prefix, limit } = options;
    let { since } = options;
    for (;;) {
      const page = (await target.ask({ type: 'context.changes', since, namespace, prefix, limit })) as Changes;
      if (output.json) {
        await output.writeJson(page);
        return;
      }
      await output.write(page.changes.map(updateLine).join(''));
      since = page.next;
      if (page.more && limit === undefined) continue;
      const end = page.more ? 'There are more changes' : 'These are all changes';
      output.message(`${end}. Go on with --since ${since}.`);
      return;
    }
  });
}

function addDiff(program: Command, session: Session): void {
  const diff = program
    .command('diff')
    .description('print the entries that differ between two views, one JSON object per line')
    .argument('<a>', 'position, or time such as 2026-01-31T12:00:00Z')
    .argument('<b>', 'position, or time')
    .addOption(onlyNamespaceOption());
  example(diff, 'diff 0 3', 'diff 1 3 --namespace trip', 'diff 2026-01-31T12:00:00Z 3');
  does<{ namespace?: string }>(session, diff, async ({ output, dataDir, options, args }) => {
    const [a, b] = [positionOrTime(args[0] ?? ''), positionOrTime(args[1] ?? '')];
    await using target = await openTarget({ dataDir, output });
    await output.writeAll(target.diff({ a, b, namespace: options.namespace }), 'Comparing');
  });
}

type Predicate = (view: CacheView) => MaybePromise<boolean>;

interface BisectFlags {
  readonly module: string;
  readonly from?: PositionOrDate;
  readonly to?: PositionOrDate;
}

function addBisect(program: Command, session: Session): void {
  const bisect = program
    .command('bisect')
    .description('find the update that made a condition false; needs a directory that is not served')
    .requiredOption('--module <file>', 'JavaScript module; its default export is view => boolean')
    .option('--from <view>', 'first position or time, at which the condition is true', positionOrTime)
    .option('--to <view>', 'last position or time', positionOrTime);
  example(bisect, 'bisect --module has-a-plan.js --from 1');
  does<BisectFlags>(session, bisect, runBisect);
}

async function runBisect({ output, dataDir, options }: Context<BisectFlags>): Promise<number | undefined> {
  const { module, from, to } = options;
  const holds = await predicateOf(module);
  const cache = await openOrConnect({ dataDir, output });
  if (cache instanceof RemoteContextCache) {
    await cache.shutdown();
    throw new UsageError('bisect does not work on a directory that is served. Stop the server, or use a copy.');
  }
  try {
    using _progress = new Progress(output, 'Searching');
    const culprit = await cache.bisect(holds, { from, to });
    if (culprit === undefined) {
      output.message('The condition is never false.');
      return EXIT.notFound;
    }
    const { position, update } = culprit;
    if (update === undefined) {
      const remedy = 'Choose --from so that it is true there. 0 is the empty cache.';
      throw new UsageError(`The condition is false at position ${position}, the first one. ${remedy}`);
    }
    await output.write(updateLine(update));
    return undefined;
  } finally {
    await cache.shutdown({ timeoutMs: CLOSE_MS });
  }
}

async function predicateOf(file: string): Promise<Predicate> {
  const path = resolve(file);
  try {
    await access(path);
  } catch {
    throw new UsageError(`The module ${path} cannot be read. Name another with --module.`);
  }
  const { default: predicate } = (await import(pathToFileURL(path).href)) as { default?: unknown };
  if (typeof predicate === 'function') return predicate as Predicate;
  throw new UsageError('The module has no default export that is a function: export default (view) => boolean.');
}
