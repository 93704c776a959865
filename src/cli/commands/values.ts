import type { Command } from 'commander';
import { isDataDirectory } from '../../engine/restore.ts';
import type { Acknowledgement, DataCommand, Entry, RangeOptions, RemoveOptions } from '../../index.ts';
import type { Appended, Incremented, Meta } from '../../types.ts';
import { decodeUtf8, MAX_LINE_BYTES } from '../../wire/lines.ts';
import {
  durationOrMs,
  integer,
  namespaceOption,
  originOptions,
  rangeOptions,
  subjectOption,
} from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { missingKey, missingKeyAlone } from '../missing-key.ts';
import { rehearse } from '../rehearsal.ts';
import { openTarget, subjectsFor } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownCount, shownName, shownTime } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';

/** `get`, `set`, `increment`, `append`, `delete`, `keys`, `entries` and `namespaces`: read and write values. */
export function addValues(program: Command, session: Session): void {
  addGet(program, session);
  addSet(program, session);
  addIncrement(program, session);
  addAppend(program, session);
  addDelete(program, session);
  addKeys(program, session);
  addEntries(program, session);
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
    .option('--entry', 'print the whole entry: value, version, times and agent');
  example(get, 'get plan --namespace trip', 'get plan -n trip --entry');
  does<InNamespace & { entry?: boolean }>(session, get, async ({ output, dataDir, options, args: [key = ''] }) => {
    const { namespace, entry = false } = options;
    await using target = await openTarget({ dataDir, output });
    const found = await target.ask({ type: entry ? 'context.entry' : 'context.get', namespace, key });
    if (found === undefined) {
      throw output.json ? missingKeyAlone(key, namespace) : await missingKey(target, key, namespace);
    }
    await output.writeJson(entry && !output.json ? withTimes(found as Entry) : found);
  });
}

/** The entry with its instants as people read them. */
function withTimes(entry: Entry): object {
  const { createdAt, updatedAt, expiresAt } = entry;
  return {
    ...entry,
    createdAt: shownTime(createdAt),
    updatedAt: shownTime(updatedAt),
    expiresAt: expiresAt === null ? null : shownTime(expiresAt),
  };
}

interface SetOptions extends InNamespace {
  readonly string?: boolean;
  readonly ttl?: number | string;
  readonly ifVersion?: number;
  readonly ifAbsent?: boolean;
  readonly ifPresent?: boolean;
  readonly ifDifferent?: boolean;
  readonly subject?: string;
  readonly agent?: string;
  readonly meta?: Meta;
  readonly operationId?: string;
}

function addSet(program: Command, session: Session): void {
  const set = program
    .command('set')
    .description('store a value')
    .argument('<key>')
    .argument('<value>', 'JSON; "-" is standard input')
    .addOption(namespaceOption())
    .option('--string', 'store the value as text, not as JSON')
    .option(...TTL, durationOrMs)
    .option('--if-version <version>', 'only if the entry has this version; 0 means that it does not exist', integer)
    .option('--if-absent', 'only if the key does not exist')
    .option('--if-present', 'only if the key exists')
    .option('--if-different', 'leave the entry as it is if it has this value')
    .addOption(subjectOption());
  for (const option of originOptions('agent that writes')) set.addOption(option);
  example(
    set,
    `set plan '["search", "book"]' --namespace trip --ttl 1h`,
    `set note --string 'as it is'`,
    `set plan '[]' -n trip --if-version 4 --agent me`,
    `set page - --string < page.html`,
    `set address '"Oslo"' --subject user-42 --subject-keys ~/subject.keys`,
  );
  does<SetOptions>(session, set, async ({ output, dataDir, options, args: [key = '', text = ''] }) => {
    const { namespace, string = false, ttl, ifAbsent, ifDifferent, subject, ...more } = options;
    const value = parseValue(text === '-' ? await readInput() : text, string);
    const written = given({ ttl, ifAbsent, ifDifferent, subject, ...conditionsOf(more) });
    const command: DataCommand = { type: 'context.set', namespace, key, value, ...written };
    if (!(await isDataDirectory(dataDir))) await rehearse(command, subjectsFor(output) !== undefined);
    await using target = await openTarget({ dataDir, output, create: true });
    await change(output, target, command);
  });
}

const TTL = ['--ttl <duration>', "time to live: '10m', '1.5h', or milliseconds"] as const;

function addIncrement(program: Command, session: Session): void {
  const increment = program
    .command('increment')
    .description('add to the number of a key and print the new one; a missing key counts as 0')
    .argument('<key>')
    .argument('[by]', 'a number, negative to subtract', '1')
    .addOption(namespaceOption())
    .option(...TTL, durationOrMs)
    .option('--if-version <version>', 'only if the entry has this version', integer)
    .option('--if-present', 'only if the key exists');
  for (const option of originOptions('agent that writes')) increment.addOption(option);
  example(increment, 'increment attempts -n trip', 'increment budget -n trip -- -250', 'increment calls --ttl 1h');
  does<SetOptions>(session, increment, async ({ output, dataDir, options, args: [key = '', text = '1'] }) => {
    const { namespace, ttl } = options;
    const by = Number(text);
    if (text.trim() === '' || !Number.isFinite(by)) throw new UsageError('Give a number to add, such as 1 or -2.5.');
    const written = given({ ttl, ...conditionsOf(options) });
    const command: DataCommand = { type: 'context.increment', namespace, key, by, ...written };
    if (!(await isDataDirectory(dataDir))) await rehearse(command);
    await using target = await openTarget({ dataDir, output, create: true });
    const incremented = (await target.ask(command)) as Incremented;
    await output.result(incremented, String(incremented.value));
  });
}

function addAppend(program: Command, session: Session): void {
  const append = program
    .command('append')
    .description('store a value under the next key in order, and print the key')
    .argument('<value>', 'JSON; "-" is standard input')
    .addOption(namespaceOption())
    .option('--prefix <text>', 'start of the key')
    .option('--string', 'store the value as text, not as JSON')
    .option(...TTL, durationOrMs)
    .addOption(subjectOption());
  for (const option of originOptions('agent that writes')) append.addOption(option);
  example(append, `append '{"text":"To Oslo"}' -n trip --prefix message:`, 'append - --string -n pages < page.html');
  does<SetOptions & { prefix?: string }>(session, append, async ({ output, dataDir, options, args: [text = ''] }) => {
    const { namespace, string = false, ttl, prefix, subject, agent, meta, operationId } = options;
    const value = parseValue(text === '-' ? await readInput() : text, string);
    const written = given({ ttl, prefix, subject, agent, meta, operationId });
    const command: DataCommand = { type: 'context.append', namespace, value, ...written };
    if (!(await isDataDirectory(dataDir))) await rehearse(command, subjectsFor(output) !== undefined);
    await using target = await openTarget({ dataDir, output, create: true });
    const appended = (await target.ask(command)) as Appended;
    await output.result(appended, appended.key);
  });
}

/** Returns the options that the flags of a write have in common. */
function conditionsOf({
  ifVersion,
  ifPresent,
  agent,
  meta,
  operationId,
}: Omit<SetOptions, keyof InNamespace>): RemoveOptions {
  return given({ ifVersion, ifPresent, agent, meta, operationId });
}

function addDelete(program: Command, session: Session): void {
  const remove = program
    .command('delete')
    .description('delete a key')
    .argument('<key>')
    .addOption(namespaceOption())
    .option('--if-version <version>', 'only if the entry has this version', integer)
    .option('--if-present', 'only if the key exists; otherwise a conflict');
  for (const option of originOptions('agent that deletes')) remove.addOption(option);
  example(remove, 'delete plan --namespace trip', 'delete plan -n trip --if-version 4');
  does<SetOptions>(session, remove, async ({ output, dataDir, options, args: [key = ''] }) => {
    const { namespace } = options;
    await using target = await openTarget({ dataDir, output });
    const nothing = `Nothing was deleted: the namespace ${shownName(namespace)} has no key ${shownName(key)}.`;
    await change(output, target, { type: 'context.delete', namespace, key, ...conditionsOf(options) }, nothing);
  });
}

function addKeys(program: Command, session: Session): void {
  const keys = program
    .command('keys')
    .description('print the keys of a namespace, or a part of them, in order')
    .addOption(namespaceOption());
  for (const option of rangeOptions('keys')) keys.addOption(option);
  example(keys, 'keys --namespace trip', 'keys -n trip --prefix day: --limit 10', 'keys -n trip --reverse --json');
  does<InNamespace & RangeOptions>(session, keys, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    const command = { type: 'context.keys', namespace: options.namespace, ...rangeOf(options) } as const;
    await printNames(output, (await target.ask(command)) as string[]);
  });
}

function addEntries(program: Command, session: Session): void {
  const entries = program
    .command('entries')
    .description(
      'print the entries of a namespace, or a part of them, in order of their keys, one JSON object per line',
    )
    .addOption(namespaceOption());
  for (const option of rangeOptions('entries')) entries.addOption(option);
  example(entries, 'entries --namespace trip', 'entries -n messages --reverse --limit 1');
  does<InNamespace & RangeOptions>(session, entries, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    await output.writeAll(target.entries({ namespace: options.namespace, ...rangeOf(options) }), 'Reading');
  });
}

function addNamespaces(program: Command, session: Session): void {
  const namespaces = program.command('namespaces').description('print the namespaces, or a part of them, in order');
  for (const option of rangeOptions('namespaces')) namespaces.addOption(option);
  example(namespaces, 'namespaces', 'namespaces --prefix store/user/ --limit 10', 'namespaces --json');
  does<RangeOptions>(session, namespaces, async ({ output, dataDir, options }) => {
    await using target = await openTarget({ dataDir, output });
    await printNames(output, (await target.ask({ type: 'context.namespaces', ...rangeOf(options) })) as string[]);
  });
}

/** Returns the options of a read in order. `reverse` is always given, so that the answer is sorted. */
function rangeOf({ prefix, from, to, after, reverse = false, limit }: RangeOptions): RangeOptions {
  return { reverse, ...given({ prefix, from, to, after, limit }) };
}

/** Prints names, one per line; with --json as an array. */
export function printNames(output: Output, names: readonly string[]): Promise<void> {
  return output.result(names, names.map(shownName).join('\n'));
}

/** Carries out a change and reports its result. `nothing` is the message if there was nothing to change. */
export async function change(
  output: Output,
  target: { ask(command: DataCommand): Promise<unknown> },
  command: DataCommand,
  nothing = 'Nothing has changed.',
): Promise<void> {
  const acknowledgement = (await target.ask(command)) as Acknowledgement;
  const { version, position, changed } = acknowledgement;
  if (output.json) await output.writeJson(acknowledgement);
  else if (changed) output.message(`Done: version ${shownCount(version)}, position ${shownCount(position)}.`);
  else output.message(nothing);
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
    if (bytes > MAX_LINE_BYTES) throw new UsageError(`The value is larger than ${MAX_LINE_BYTES} bytes. Store less.`);
    pieces.push(piece);
  }
  return decodeUtf8(Buffer.concat(pieces));
}

export function given<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}
