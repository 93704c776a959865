import type { Command } from 'commander';
import { type Acknowledgement, ContextCacheError, compareNames, type DataCommand } from '../../index.ts';
import { decodeUtf8, MAX_LINE_BYTES } from '../../wire/lines.ts';
import { agentOption, durationOrMs, integer, namespaceOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { openTarget } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownCount, shownName } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';

/** `get`, `set`, `delete`, `keys` and `namespaces`. */
export function addValues(program: Command, session: Session): void {
  addGet(program, session);
  addSet(program, session);
  addDelete(program, session);
  addKeys(program, session);
  addNamespaces(program, session);
}

interface InNamespace {
  readonly namespace: string;
}

function addGet(program: Command, session: Session): void {
  const get = program
    .command('get')
    .description('print the value of a key as JSON')
    .argument('<key>')
    .addOption(namespaceOption())
    .option('--entry', 'the whole entry: value, version, instants and agent');
  example(get, 'get plan --namespace trip', 'get plan -n trip --entry');
  does<InNamespace & { entry?: boolean }>(session, get, async ({ output, dataDir, options, args: [key = ''] }) => {
    const { namespace, entry = false } = options;
    await using target = await openTarget({ dataDir, output });
    const found = await target.ask({ type: entry ? 'context.entry' : 'context.get', namespace, key });
    if (found === undefined) {
      const remedy = 'See "context-cache keys" and "context-cache namespaces" for what there is.';
      throw new ContextCacheError(
        'NOT_FOUND',
        `There is no such key in the namespace ${shownName(namespace)}. ${remedy}`,
      );
    }
    await output.writeJson(found);
  });
}

interface SetOptions extends InNamespace {
  readonly string?: boolean;
  readonly ttl?: number | string;
  readonly ifVersion?: number;
  readonly agent?: string;
}

function addSet(program: Command, session: Session): void {
  const set = program
    .command('set')
    .description('store a value')
    .argument('<key>')
    .argument('<value>', 'JSON; "-" reads it from standard input')
    .addOption(namespaceOption())
    .option('--string', 'take the value as text, not as JSON')
    .option('--ttl <duration>', "time to live: '10m', '1.5h', or milliseconds", durationOrMs)
    .option('--if-version <version>', 'only if the entry has this version; 0: only if there is none', integer)
    .addOption(agentOption('who writes'));
  example(
    set,
    `set plan '["search", "book"]' --namespace trip --ttl 1h`,
    `set note --string 'as it is'`,
    `set plan '[]' -n trip --if-version 4 --agent me`,
    `set page - --string < page.html`,
  );
  does<SetOptions>(session, set, async ({ output, dataDir, options, args: [key = '', text = ''] }) => {
    const { namespace, string = false, ttl, ifVersion, agent } = options;
    const value = parseValue(text === '-' ? await readInput() : text, string);
    await using target = await openTarget({ dataDir, output, create: true });
    await change(output, target, { type: 'context.set', namespace, key, value, ...given({ ttl, ifVersion, agent }) });
  });
}

function addDelete(program: Command, session: Session): void {
  const remove = program
    .command('delete')
    .description('remove a key')
    .argument('<key>')
    .addOption(namespaceOption())
    .option('--if-version <version>', 'only if the entry has this version', integer)
    .addOption(agentOption('who removes'));
  example(remove, 'delete plan --namespace trip', 'delete plan -n trip --if-version 4');
  does<SetOptions>(session, remove, async ({ output, dataDir, options, args: [key = ''] }) => {
    const { namespace, ifVersion, agent } = options;
    await using target = await openTarget({ dataDir, output });
    await change(output, target, { type: 'context.delete', namespace, key, ...given({ ifVersion, agent }) });
  });
}

function addKeys(program: Command, session: Session): void {
  const keys = program
    .command('keys')
    .description('print the keys of a namespace, sorted')
    .addOption(namespaceOption());
  example(keys, 'keys --namespace trip', 'keys -n trip --json');
  does<InNamespace>(session, keys, async ({ output, dataDir, options: { namespace } }) => {
    await using target = await openTarget({ dataDir, output });
    const names = (await target.ask({ type: 'context.keys', namespace })) as string[];
    await printNames(output, names.toSorted(compareNames));
  });
}

function addNamespaces(program: Command, session: Session): void {
  const namespaces = program.command('namespaces').description('print the namespaces, sorted');
  example(namespaces, 'namespaces', 'namespaces --json');
  does(session, namespaces, async ({ output, dataDir }) => {
    await using target = await openTarget({ dataDir, output });
    await printNames(output, (await target.ask({ type: 'context.namespaces' })) as string[]);
  });
}

/** Names a line each; for programs an array. */
export function printNames(output: Output, names: readonly string[]): Promise<void> {
  return output.result(names, names.map(shownName).join('\n'));
}

/** Has a change made, and tells what came of it. */
export async function change(
  output: Output,
  target: { ask(command: DataCommand): Promise<unknown> },
  command: DataCommand,
): Promise<void> {
  const acknowledgement = (await target.ask(command)) as Acknowledgement;
  const { version, position, changed } = acknowledgement;
  if (output.json) await output.writeJson(acknowledgement);
  else if (changed) output.message(`Done: version ${shownCount(version)}, position ${shownCount(position)}.`);
  else output.message('Nothing to do: it is not there.');
}

function parseValue(text: string, string: boolean): unknown {
  if (string) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`The value is not JSON. Quote a text as '"text"', or add --string.`);
  }
}

async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of process.stdin) {
    bytes += piece.length;
    if (bytes > MAX_LINE_BYTES) throw new UsageError(`The value has more than ${MAX_LINE_BYTES} bytes. Store less.`);
    pieces.push(piece);
  }
  return decodeUtf8(Buffer.concat(pieces));
}

function given<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}
