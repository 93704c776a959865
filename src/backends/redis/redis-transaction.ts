import type { ChainableCommander, Command, Redis } from 'ioredis';
import { encode } from '../../core/encoding/codec.ts';
import { encodeNamespace } from '../../core/names.ts';
import type { Update } from '../../core/update.ts';
import { instantOf, type RedisLayout } from './redis-layout.ts';
import { RespWriter } from './resp-writer.ts';

/** Updates as one step for Redis: the bytes of `MULTI … EXEC`, and of the commands that guard the next step. */
export interface Transaction {
  readonly bytes: Buffer;
  readonly commands: number;
}

/** Estimated bytes of an entry beside its value: its name and its key in the index. */
const ENTRY_BYTES = 128;

/** The last update of each key, by namespace. */
type Changed = ReadonlyMap<string, ReadonlyMap<string, Update>>;

/**
 * Returns the updates and their position as a transaction; `undefined` if one of them is neither a set nor a removal of
 * a key. The connection must watch the positions: Redis discards the transaction if they have changed since. Afterwards
 * the connection watches them again, and the last reply is the stored position.
 */
export function transactionOf(
  updates: readonly Update[],
  layout: RedisLayout,
  log: string,
  through: number,
): Transaction | undefined {
  const changed = lastOfKeys(updates);
  if (changed === undefined) return undefined;
  const writer = new RespWriter(roomFor(updates));
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

function roomFor(updates: readonly Update[]): number {
  let bytes = 1024;
  for (const update of updates) bytes += update.bytes + ENTRY_BYTES;
  return bytes;
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
  { bytes, commands }: Transaction,
  partly: () => Promise<unknown>,
): Promise<Executed> {
  const pipeline = client.pipeline() as ChainableCommander & { sendCommand(place: Command): unknown };
  for (let i = 0; i < commands; i += 1) pipeline.sendCommand(written(command, i === 0 ? bytes : ''));
  const replies = (await pipeline.exec()) ?? [];
  for (const [error] of replies) if (error !== null) throw error;
  const [executed, , stored] = replies.slice(-3).map(([, reply]) => reply);
  if (!Array.isArray(executed)) return { done: false, stored: stored as string | null };
  const failed = executed.find((reply) => reply instanceof Error);
  if (failed === undefined) return { done: true, stored: stored as string | null };
  await partly();
  throw failed;
}

/** Stands for one command in the pipeline; the first one carries the bytes of all. */
function written(command: typeof Command, bytes: Buffer | ''): Command {
  const place = new command('transaction', [], { replyEncoding: 'utf8' });
  place.toWritable = () => bytes;
  return place;
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
      const name = space + key;
      if (!isSet(update)) {
        gone.push(name);
        continue;
      }
      writer.text(name);
      writer.data(encode(update.value));
      if (update.expiresAt !== null) expiring.push(name, instantOf(update.expiresAt));
    }
  }
  for (let i = 0; i < expiring.length; i += 2) writer.command('PEXPIREAT', ...expiring.slice(i, i + 2));
  if (gone.length > 0) writer.command('UNLINK', ...gone);
}

function writeIndex(writer: RespWriter, index: string, keys: ReadonlyMap<string, Update>): void {
  const [there, gone]: [string[], string[]] = [[], []];
  for (const [key, update] of keys) (isSet(update) ? there : gone).push(key);
  if (there.length > 0) writer.command('SADD', index, ...there);
  if (gone.length > 0) writer.command('SREM', index, ...gone);
}

function isSet({ operation }: Update): boolean {
  return operation === 'set';
}
