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

/** The last update of each key, by namespace. */
type Changed = ReadonlyMap<string, ReadonlyMap<string, Update>>;

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
  const changed = lastOfKeys(updates);
  if (changed === undefined) return undefined;
  writer.start();
  writer.command('MULTI');
  writeValues(writer, changed, layout);
  for (const [namespace, keys] of changed) writeIndex(writer, layout.index(namespace), keys);
  if (changed.size > 0) writer.command('SADD', layout.namespaces, ...[...changed.keys()].map(encodeNamespace));
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
 * One command of the client stands for all: it collects a reply for each time that it was sent. A command object for each
 * would cost as much as ten updates.
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

function lastOfKeys(updates: readonly Update[]): Changed | undefined {
  const changed = new Map<string, Map<string, Update>>();
  for (const update of updates) {
    const { namespace, key, operation } = update;
    if (key === null || operation === 'touch') return undefined;
    let keys = changed.get(namespace);
    if (keys === undefined) {
      keys = new Map();
      changed.set(namespace, keys);
    }
    keys.set(key, update);
  }
  return changed;
}

function writeValues(writer: RespWriter, changed: Changed, layout: RedisLayout): void {
  const expiring: string[] = [];
  const gone: string[] = [];
  let sets = 0;
  for (const keys of changed.values()) for (const update of keys.values()) if (isSet(update)) sets += 1;
  if (sets > 0) {
    writer.begin(1 + 2 * sets);
    writer.text('MSET');
  }
  for (const [namespace, keys] of changed) {
    const space = layout.space(namespace);
    for (const [key, update] of keys) {
      if (!isSet(update)) {
        gone.push(space + key);
        continue;
      }
      writer.text(space, key);
      writer.value(update.value);
      if (update.expiresAt !== null) expiring.push(space + key, instantOf(update.expiresAt));
    }
  }
  for (let i = 0; i < expiring.length; i += 2) writer.command('PEXPIREAT', ...expiring.slice(i, i + 2));
  if (gone.length > 0) writer.command('UNLINK', ...gone);
}

function writeIndex(writer: RespWriter, index: string, keys: ReadonlyMap<string, Update>): void {
  let sets = 0;
  for (const update of keys.values()) if (isSet(update)) sets += 1;
  writeMembers(writer, 'SADD', index, keys, sets);
  writeMembers(writer, 'SREM', index, keys, keys.size - sets);
}

/** Writes a command with the members of the index that are set, or those that are removed. */
function writeMembers(
  writer: RespWriter,
  command: 'SADD' | 'SREM',
  index: string,
  keys: ReadonlyMap<string, Update>,
  count: number,
): void {
  if (count === 0) return;
  const sets = command === 'SADD';
  writer.begin(2 + count);
  writer.text(command);
  writer.text(index);
  for (const [key, update] of keys) if (isSet(update) === sets) writer.text(key);
}

function isSet({ operation }: Update): boolean {
  return operation === 'set';
}
