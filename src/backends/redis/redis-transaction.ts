import type { Command, Redis } from 'ioredis';
import { encodeNamespace } from '../../core/names.ts';
import type { Update } from '../../core/update.ts';
import { instantOf, type RedisLayout } from './redis-layout.ts';
import type { RespWriter } from './resp-writer.ts';

/** Updates as one step for Redis: the bytes of `MULTI … EXEC`, and of the commands that guard the next step. */
export interface Transaction {
  readonly bytes: Buffer;
  readonly commands: number;
}

/** An update of a key. */
type KeyUpdate = Update & { readonly key: string };

/** The last update of each key of one namespace. */
interface Changed {
  readonly namespace: string;
  readonly sets: readonly KeyUpdate[];
  /** Keys that are removed. */
  readonly gone: readonly string[];
}

/**
 * Writes the updates and their position as a transaction; returns `undefined` if one of them is neither a set nor a
 * removal of a key. The connection must watch the positions: Redis discards the transaction if they have changed since.
 * Afterwards the connection watches them again, and the last reply is the stored position.
 *
 * @param writer holds the bytes of the transaction: start it again only after Redis has answered.
 */
export function transactionOf(
  updates: readonly Update[],
  layout: RedisLayout,
  log: string,
  through: number,
  writer: RespWriter,
): Transaction | undefined {
  const changed = changedBy(updates);
  if (changed === undefined) return undefined;
  writer.start();
  writer.command('MULTI');
  writeValues(writer, changed, layout);
  for (const { namespace, sets, gone } of changed) writeIndex(writer, layout.index(namespace), sets, gone);
  if (changed.length > 0) {
    const names = changed.map(({ namespace }) => encodeNamespace(namespace));
    writer.command('SADD', layout.namespaces, ...names);
  }
  writer.command('HSET', layout.positions, log, String(through));
  writer.command('EXEC');
  writer.command('WATCH', layout.positions);
  writer.command('HGET', layout.positions, log);
  return { bytes: writer.finish(), commands: writer.commands };
}

/** The outcome of a transaction. */
export interface Executed {
  /** `true` if Redis has carried it out; otherwise the positions had changed, and nothing was done. */
  readonly done: boolean;
  /** The stored position as Redis holds it; the connection watches it. */
  readonly stored: string | null;
}

/**
 * Executes a transaction.
 *
 * @throws the reply of the first refused command. If Redis refused it during the execution, the other commands were
 *   carried out, and `partly` is called first.
 */
export async function execute(
  client: Redis,
  command: typeof Command,
  transaction: Transaction,
  partly: () => Promise<unknown>,
): Promise<Executed> {
  const replies = await send(client, command, transaction);
  for (const reply of replies) if (reply instanceof Error) throw reply;
  const [executed, , stored] = replies.slice(-3);
  if (!Array.isArray(executed)) return { done: false, stored: stored as string | null };
  const failed = executed.find((reply) => reply instanceof Error);
  if (failed === undefined) return { done: true, stored: stored as string | null };
  await partly();
  throw failed;
}

/**
 * Writes the bytes and resolves with the reply of each command; a refused one has an `Error`.
 *
 * One command of the client stands for all: it collects a reply for each time that it was sent. Otherwise each
 * namespace and each expiring key of a transaction would need a command object with a promise of its own.
 */
function send(client: Redis, command: typeof Command, { bytes, commands }: Transaction): Promise<readonly unknown[]> {
  const all = new command('transaction', [], { replyEncoding: 'utf8' });
  const replies: unknown[] = [];
  const { resolve } = all;
  const collect = (reply: unknown) => {
    if (replies.push(reply) === commands) resolve(replies);
  };
  all.resolve = collect;
  all.reject = collect;
  all.toWritable = () => bytes;
  void client.sendCommand(all);
  // Nothing is left to write for the others.
  const written = { isPipeline: true, write: () => true, destination: { redis: client } } as const;
  for (let i = 1; i < commands; i += 1) void client.sendCommand(all, written);
  return all.promise as Promise<readonly unknown[]>;
}

/** Returns what the updates change, by namespace; `undefined` if one of them is neither a set nor a removal of a key. */
function changedBy(updates: readonly Update[]): readonly Changed[] | undefined {
  const spaces = new Map<string, Map<string, KeyUpdate>>();
  for (const update of updates) {
    if (!isOfKey(update) || update.operation === 'touch') return undefined;
    const { namespace } = update;
    let last = spaces.get(namespace);
    if (last === undefined) {
      last = new Map();
      spaces.set(namespace, last);
    }
    last.set(update.key, update);
  }
  return Array.from(spaces, ([namespace, last]) => split(namespace, last.values()));
}

function isOfKey(update: Update): update is KeyUpdate {
  return update.key !== null;
}

function split(namespace: string, updates: Iterable<KeyUpdate>): Changed {
  const sets: KeyUpdate[] = [];
  const gone: string[] = [];
  for (const update of updates) {
    if (update.operation === 'set') sets.push(update);
    else gone.push(update.key);
  }
  return { namespace, sets, gone };
}

function writeValues(writer: RespWriter, changed: readonly Changed[], layout: RedisLayout): void {
  const expiring: string[] = [];
  const unlinked: string[] = [];
  let count = 0;
  for (const { sets } of changed) count += sets.length;
  if (count > 0) {
    writer.begin(1 + 2 * count);
    writer.text('MSET');
  }
  for (const { namespace, sets, gone } of changed) {
    const space = layout.space(namespace);
    for (const { key, value, expiresAt } of sets) {
      writer.text(space, key);
      writer.value(value);
      if (expiresAt !== null) expiring.push(space + key, instantOf(expiresAt));
    }
    for (const key of gone) unlinked.push(space + key);
  }
  for (let i = 0; i < expiring.length; i += 2) writer.command('PEXPIREAT', ...expiring.slice(i, i + 2));
  if (unlinked.length > 0) writer.command('UNLINK', ...unlinked);
}

function writeIndex(writer: RespWriter, index: string, sets: readonly KeyUpdate[], gone: readonly string[]): void {
  if (sets.length > 0) {
    writer.begin(2 + sets.length);
    writer.text('SADD');
    writer.text(index);
    for (const { key } of sets) writer.text(key);
  }
  if (gone.length > 0) writer.command('SREM', index, ...gone);
}
