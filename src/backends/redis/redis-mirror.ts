import type { Redis } from 'ioredis';
import { encode } from '../../core/encoding/codec.ts';
import { encodeNamespace } from '../../core/names.ts';
import type { Update } from '../../core/update.ts';
import { countOfWhole } from '../../core/whole-operations.ts';
import type { LogMark } from '../base-context-cache.ts';
import { type Change, changeOf, coalesce } from '../change.ts';
import { MirrorMismatchError, updatesToTake } from '../mirror-position.ts';
import { orIfRefused, type RedisConnection } from './redis-connection.ts';
import { instantOf, type RedisLayout } from './redis-layout.ts';
import { APPLY, APPLY_REPLY, runScript } from './redis-scripts.ts';
import { execute, type Transaction, transactionOf } from './redis-transaction.ts';
import { RespWriter } from './resp-writer.ts';

/**
 * Number of updates, and of their estimated bytes, in one step: a step blocks the other clients of Redis. It has more only if one
 * operation, such as a transaction, has more: readers of Redis never see a part of it.
 */
const CHUNK_UPDATES = 2048;
const CHUNK_BYTES = 1024 * 1024;

/** One prepared step. */
interface Step extends LogMark {
  readonly updates: readonly Update[];
  /** `undefined` if only a script can do it. */
  readonly transaction: Transaction | undefined;
  /** Holds the bytes of the transaction. */
  readonly writer: RespWriter;
}

/** The position that a connection has read and watches. */
interface Watched {
  readonly client: Redis;
  readonly log: string;
  readonly stored: string | null;
}

/** `done`, or the position at which Redis is instead. */
type Outcome = 'done' | { readonly at: number };

/**
 * Writes batches of updates into Redis, each with its position, and only if Redis is at the position before.
 *
 * Sets and removals go as a transaction that Redis discards if the positions have changed since they were read. It is
 * four times as fast as a script, in which every key passes through Lua. A script does the updates that must read before
 * they change anything (a touch, a clear), and a step whose transaction was discarded because another log is mirrored
 * here as well. The next step is prepared while Redis carries out the one before.
 */
export class RedisMirror {
  readonly #connection: RedisConnection;
  readonly #layout: RedisLayout;
  #watched: Watched | undefined;
  /** Writers that no step uses. A writer of a step that failed is discarded: the socket may still hold its bytes. */
  readonly #writers: RespWriter[] = [];
  /** Settles with the last batch. Batches go one at a time, because all calls of a connection share what it watches. */
  #last: Promise<void> | undefined;

  constructor(connection: RedisConnection, layout: RedisLayout) {
    this.#connection = connection;
    this.#layout = layout;
  }

  /** See `BaseContextCache.applyUpdates`. */
  apply(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void> {
    const run = () => this.#applyAll(updates, mark, signal);
    const applied = this.#last?.then(run) ?? run();
    const settled = applied
      .catch(() => {})
      .then(() => {
        if (this.#last === settled) this.#last = undefined;
      });
    this.#last = settled;
    return applied;
  }

  async #applyAll(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void> {
    let rest = updates;
    let step = this.#prepare(rest, mark);
    for (;;) {
      const left = rest.slice(step.updates.length);
      const isLast = left.length === 0 && step.through >= mark.through;
      const [outcome, next] = await Promise.all([
        this.#take(step, signal),
        isLast ? undefined : this.#prepareWhileWaiting(left, { ...mark, after: step.through }),
      ]);
      this.#writers.push(step.writer);
      if (outcome === 'done') {
        if (next === undefined) return;
        rest = left;
        step = next;
      } else {
        const after = outcome.at;
        rest = updatesToTake(rest, { ...mark, after: step.after }, after);
        if (after >= mark.through) return;
        step = this.#prepare(rest, { ...mark, after });
      }
    }
  }

  async #prepareWhileWaiting(updates: readonly Update[], mark: LogMark): Promise<Step> {
    return this.#prepare(updates, mark);
  }

  #prepare(rest: readonly Update[], { log, after, through: end }: LogMark): Step {
    const updates = firstChunk(rest);
    const through = updates.length === rest.length ? end : Math.max(after, updates.at(-1)?.position ?? after);
    const writer = this.#writers.pop() ?? new RespWriter();
    const transaction = transactionOf(updates, this.#layout, log, through, writer);
    return { log, after, through, updates, transaction, writer };
  }

  async #take(step: Step, signal: AbortSignal): Promise<Outcome> {
    if (step.transaction === undefined) return this.#script(step, signal);
    if (!this.#isWatchedAt(step)) await this.#watch(step.log, signal);
    const watched = this.#watched;
    if (watched === undefined) return this.#script(step, signal);
    if (!this.#isWatchedAt(step)) return elsewhere(watched.stored, step.after);
    return (await this.#transact(step, step.transaction, watched, signal)) ? 'done' : this.#script(step, signal);
  }

  #isWatchedAt({ log, after }: LogMark): boolean {
    const { stored = null, log: seen } = this.#watched ?? {};
    return seen === log && (stored ?? '0') === String(after);
  }

  /** Reads and watches the positions. Nothing is watched if the server, or a proxy before it, refuses. */
  async #watch(log: string, signal: AbortSignal): Promise<void> {
    const { positions } = this.#layout;
    this.#watched = undefined;
    this.#watched = await this.#connection.run(async (client) => {
      const watching = client.unwatch().then(() => client.watch(positions));
      const looked = watching.then(async () => ({ client, log, stored: await client.hget(positions, log) }));
      return orIfRefused(looked, undefined);
    }, signal);
  }

  /** Returns `true` if Redis has carried the transaction out; `false` also if another connection watches by now. */
  async #transact(step: Step, transaction: Transaction, watched: Watched, signal: AbortSignal): Promise<boolean> {
    const { log } = step;
    this.#watched = undefined;
    return this.#connection.run(async (client, command) => {
      if (client !== watched.client) return false;
      // A partial transaction does not match its position: the whole state must be copied again.
      const forget = () => client.hdel(this.#layout.positions, log);
      const { done, stored } = await execute(client, command, transaction, forget);
      this.#watched = { client, log, stored };
      return done;
    }, signal);
  }

  async #script({ log, after, through, updates }: Step, signal: AbortSignal): Promise<Outcome> {
    // The script changes the positions, which ends the watching.
    this.#watched = undefined;
    const { prefix, positions, namespaces } = this.#layout;
    const changes = coalesce(updates.map(changeOf)).flatMap(changeArguments);
    const args = [prefix, log, String(after), String(through), ...changes];
    const run = (client: Redis) => runScript(client, APPLY, [positions, namespaces], args);
    const [outcome, stored] = (await this.#connection.run(run, signal)) as [number, (string | null)?];
    if (outcome === APPLY_REPLY.done) return 'done';
    if (outcome === APPLY_REPLY.elsewhere) return elsewhere(stored, after);
    throw new MirrorMismatchError('An entry has expired in Redis before the update that keeps it came.', after);
  }
}

/** @throws {MirrorMismatchError} if the stored value is not a position. */
function elsewhere(stored: string | null | undefined, after: number): Outcome {
  const at = positionOf(stored);
  if (at !== undefined) return { at };
  throw new MirrorMismatchError(
    `Redis knows no position of this log; the updates follow on position ${after}.`,
    undefined,
  );
}

/** Reads a position as Redis holds it; `undefined` if it is not one. */
export function positionOf(stored: string | null | undefined): number | undefined {
  // Scripts compare the digits, so only the canonical form counts.
  return stored && /^(?:0|[1-9]\d{0,15})$/.test(stored) ? Number(stored) : undefined;
}

/** Returns the first updates, as many as one step may have; at least one operation. */
function firstChunk(updates: readonly Update[]): readonly Update[] {
  let bytes = 0;
  let count = 0;
  for (const update of updates) {
    bytes += update.bytes;
    if (count > 0 && (bytes > CHUNK_BYTES || count >= CHUNK_UPDATES)) break;
    count += 1;
  }
  return updates.slice(0, countOfWhole(updates, count));
}

function changeArguments({ kind, namespace, key, value, expiresAt }: Change): (string | Buffer)[] {
  const instant = expiresAt === null ? '' : instantOf(expiresAt);
  return [kind, encodeNamespace(namespace), key, instant, kind === 'set' ? encode(value) : ''];
}
