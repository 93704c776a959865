import { randomUUID } from 'node:crypto';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import { CacheMethods } from '../cache/cache-methods.ts';
import { checkSchemas } from '../cache/check-schemas.ts';
import type { ForgetOptions, ForgetReport, SubjectInfo } from '../cache/forget.ts';
import type { MethodParts } from '../cache/method-parts.ts';
import {
  ASK_OPTIONS,
  BACKUP_NOW_OPTIONS,
  FORGET_OPTIONS,
  SHUTDOWN_OPTIONS,
  SYNCED_OPTIONS,
} from '../cache/option-names.ts';
import type { OwnerMethods } from '../cache/owner-methods.ts';
import type { AnswerTo, CompactionOptions, WaitOptions } from '../cache/types.ts';
import { isDataCommand, isQueryCommand, parseCommand } from '../core/admission.ts';
import type { BackupSettings, BackupSettingsChange, ContextCommand } from '../core/command.ts';
import { untilAborted } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { Grant } from '../core/grants.ts';
import { nameOf, writtenName } from '../core/namespace-parts.ts';
import type { AnyNamespaces, NamespaceOf, NamespaceTypes, PartsArgument } from '../core/namespace-types.ts';
import type { SchemaCheckOptions, SchemaReport } from '../core/schema-report.ts';
import type { NamespaceSchemas } from '../core/schemas.ts';
import { stamped, stampedCommand } from '../core/stamp.ts';
import type { Update } from '../core/update.ts';
import { admit, type JsonValue } from '../core/value.ts';
import { durationOf } from '../engine/durations.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { LogRange } from '../engine/log-range.ts';
import { needNoHandler } from '../engine/outcome.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { Difference } from '../past/difference.ts';
import type { DifferenceOptions } from '../past/difference-options.ts';
import type { CompactReport } from '../storage/retention.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import type { WirePoint } from '../wire/socket-protocol.ts';
import { actingAs } from './acting.ts';
import type { Asking } from './asking.ts';
import type { RequestObject } from './call.ts';
import { checkedStore, type Served } from './checked-store.ts';
import { collect } from './item-stream.ts';
import type { ActingParts, RemoteParts } from './remote-parts.ts';
import { pointOf, type RemoteReader } from './remote-reader.ts';
import { subscribeRemotely } from './remote-subscription.ts';
import { RemoteView } from './remote-view.ts';
import { watchRemotely } from './remote-watch.ts';
import type { RemoteWriter } from './remote-writer.ts';

/** Stands for the asynchronous answers of a server in types that depend on the primary. */
interface Remote extends BaseContextCache {
  get(key: string, namespace: string): Promise<JsonValue | undefined>;
}

/** A position, an instant, a view of this cache, or this cache in its present state. */
export type RemotePoint = number | Date | RemoteView<never> | RemoteContextCache<never>;

/**
 * A cache that another process serves; `connect` creates it. Its methods have the names, arguments, checks and errors of
 * `AgentContextCache` and do the same, all asynchronously: each doc comment there holds here. Only that cache itself, in
 * its own process, can `fork`, `merge` and `bisect`.
 *
 * Requests are sent in the order of the calls over one connection, without waiting for the answers of earlier ones. If
 * the connection is lost, the client connects again by itself: reads are repeated, watches continue, and a write that was
 * sent and not answered rejects with `OUTCOME_UNKNOWN`, because it may or may not have taken effect.
 *
 * A watch continues over lost connections without gap or duplicate. If the log no longer holds what was missed, it goes on
 * with a snapshot: a `clear_namespace` for each namespace that it has shown, then the present entries, all with
 * `snapshot: true`.
 *
 * @example
 * ```ts
 * await using remote = await connect('./agent-memory');
 * await remote.set('plan', ['search', 'book'], 'trip', { agent: 'planner' });
 * await remote.get('plan', 'trip');
 * ```
 */
export class RemoteContextCache<S extends NamespaceTypes<S> = AnyNamespaces>
  extends CacheMethods<S, Remote>
  implements OwnerMethods
{
  readonly #parts: RemoteParts;
  readonly #reader: RemoteReader;
  readonly #writer: RemoteWriter;
  #shutdown: Promise<void> | undefined;

  static {
    needNoHandler(RemoteContextCache.prototype, (client) => client.#parts.outcomes);
  }

  /** @internal */
  constructor(parts: RemoteParts) {
    super({
      ...{ nameOf: writtenName, stamp: parts.stamp },
      position: () => parts.link.position,
      flush: () => parts.writer.guard(async () => void (await this.ask({ type: 'cache.flush' }))),
      guard: (run) => parts.writer.guard(run),
      ...methodsOver(parts),
      restrict: (_, agent) => methodsOver(actingAs(parts, agent)),
    });
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#writer = parts.writer;
  }

  /** `reconnecting` after a lost connection: requests wait for the next one. */
  get connection(): 'connected' | 'reconnecting' | 'closed' {
    return this.#parts.link.status;
  }

  /** The agent that writes, if the token is an agent's; `null`: each write names its own. */
  get agent(): string | null {
    return this.#parts.link.hello.agent;
  }

  readLog(options: LogRange = {}): AsyncGenerator<Update> {
    return this.#reader.log(options);
  }

  ask<C extends ContextCommand>(command: C, options: { readonly signal?: AbortSignal } = {}): Promise<AnswerTo<C>> {
    const run = async () => {
      ASK_OPTIONS.check(options);
      options.signal?.throwIfAborted();
      const given = stampedCommand(command, this.#parts.stamp?.());
      return untilAborted(askOver(this.#parts, parseCommand(given)) as Promise<AnswerTo<C>>, options.signal);
    };
    return this.#writer.guard(run, { source: 'command', command: String(command?.type) });
  }

  async at(position: number | Date): Promise<RemoteView<S>> {
    const request = { type: 'view.open', at: this.#pointOf(position) };
    const opened = (await this.#parts.link.ask(request, true)) as { readonly position: number };
    return new RemoteView<S>(this.#parts.link, this.#parts.outcomes, opened.position);
  }

  async diff(a: RemotePoint, b: RemotePoint, options: DifferenceOptions<NamespaceOf<S>> = {}): Promise<Difference> {
    return this.#reader.diff(this.#pointOf(a), this.#pointOf(b), options);
  }

  async digest(namespace?: NamespaceOf<S> | PartsArgument<S>): Promise<string> {
    return this.#answer({ type: 'cache.digest', namespace: namespace && nameOf(namespace) }, true);
  }

  async forget(subject: string, options: ForgetOptions = {}): Promise<ForgetReport> {
    FORGET_OPTIONS.check(options);
    return this.ask({ ...stamped(options, this.#parts.stamp?.()), type: 'subjects.forget', subject });
  }

  subjects(): Promise<SubjectInfo[]> {
    return this.ask({ type: 'subjects.list' });
  }

  async checkSchemas(schemas: NamespaceSchemas, options: SchemaCheckOptions = {}): Promise<SchemaReport> {
    return checkSchemas(checkedStore(this as unknown as Served), schemas, options, this.#parts.clock);
  }

  verify(options: { readonly against?: string; readonly repair?: boolean } = {}): Promise<VerifyReport> {
    return this.ask({ ...options, type: 'cache.verify' });
  }

  getGrants(): Promise<readonly Grant[]> {
    return this.ask({ type: 'grants.list' });
  }

  async setGrants(grants: readonly Grant[]): Promise<void> {
    await this.ask({ type: 'grants.set', grants: [...grants] });
  }

  async addGrant(grant: Grant): Promise<void> {
    await this.ask({ type: 'grants.add', grant });
  }

  async removeGrant(agent: string): Promise<void> {
    await this.ask({ type: 'grants.remove', agent });
  }

  async setTopicsList(topics: readonly string[]): Promise<void> {
    await this.ask({ type: 'topics.set', topics: [...topics] });
  }

  getTopicsList(): Promise<string[]> {
    return this.ask({ type: 'topics.list' });
  }

  async addTopic(topic: string): Promise<void> {
    await this.ask({ type: 'topics.add', topic });
  }

  async removeTopic(topic: string): Promise<void> {
    await this.ask({ type: 'topics.remove', topic });
  }

  async enableBackup(settings: BackupSettingsChange = {}): Promise<void> {
    await this.ask({ type: 'backup.enable', settings });
  }

  async disableBackup(): Promise<void> {
    await this.ask({ type: 'backup.disable' });
  }

  async isBackupEnabled(): Promise<boolean> {
    return (await this.health()).backup?.enabled ?? false;
  }

  async setBackupSettings(settings: BackupSettingsChange): Promise<void> {
    await this.ask({ type: 'backup.set', settings });
  }

  async getBackupSettings(): Promise<BackupSettings> {
    return (await this.getBackupStatus()).settings;
  }

  getBackupStatus(): Promise<BackupStatus> {
    return this.ask({ type: 'backup.status' });
  }

  async backup(options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotInfo> {
    BACKUP_NOW_OPTIONS.check(options);
    return this.ask({ type: 'context.backup' }, options);
  }

  /** Returns the stored snapshots, newest first; none if the cache has no store for them. */
  listSnapshots(): Promise<SnapshotInfo[]> {
    return collect(this.#parts.link, { type: 'cache.snapshots' });
  }

  async compact(options: CompactionOptions = {}): Promise<CompactReport> {
    return this.ask({ ...options, type: 'cache.compact' });
  }

  async synced(options: WaitOptions = {}): Promise<void> {
    const { timeoutMs, signal } = SYNCED_OPTIONS.checked(options);
    const request = { type: 'cache.synced', timeoutMs: durationOf('timeoutMs', timeoutMs) };
    await untilAborted(this.#answer(request, false), signal);
  }

  /** Returns the condition of the served cache. */
  health(): Promise<CacheHealth> {
    return this.#answer({ type: 'cache.health' }, true);
  }

  /**
   * Closes the connection; the served cache goes on. Waits at most `timeoutMs` (default 5,000 ms) for the answers of
   * requests in flight, which then reject with `CLOSED`. Watches end. Later calls return the same promise.
   */
  async shutdown(options: Pick<WaitOptions, 'timeoutMs'> = {}): Promise<void> {
    const { timeoutMs } = SHUTDOWN_OPTIONS.checked(options);
    const durationMs = durationOf('timeoutMs', timeoutMs) ?? 5_000;
    this.#shutdown ??= this.#close(durationMs);
    return this.#shutdown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #close(timeoutMs: number): Promise<void> {
    const { link, clock, release } = this.#parts;
    const late = new ContextCacheError(
      'CLOSED',
      'The client was closed before the answer. A write may have taken effect.',
    );
    const timer = clock.setTimeout(() => link.end(late), timeoutMs);
    await link.close();
    clock.clearTimeout(timer);
    await release?.(timeoutMs);
  }

  async #answer<Answer>(request: RequestObject, repeats: boolean): Promise<Answer> {
    return (await this.#parts.link.ask(request, repeats)) as Answer;
  }

  #pointOf(when: unknown): WirePoint {
    if (when === this) return 'present';
    const point = pointOf(when instanceof RemoteView ? when.position : when);
    if (point !== undefined) return point;
    const message = 'Give a position from 0, a valid Date, a view of this cache, or this cache.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
}

/** Sends a command over a link and resolves with its answer. */
async function askOver(
  { link, writer }: Pick<ActingParts, 'link' | 'writer'>,
  command: ContextCommand,
): Promise<unknown> {
  if (isDataCommand(command)) return writer.command(command);
  if (command.type === 'context.transaction') {
    const { type: _, operations, ...options } = command;
    return writer.transaction(operations, options);
  }
  const { type, ...fields } = named(command);
  const given = admit(fields).value as { readonly [field: string]: JsonValue };
  const repeats = isQueryCommand(command) || REPEATABLE.has(type);
  return link.ask({ ...given, type }, repeats);
}

/** Gives a retraction an operation id, so that it can be sent again if the connection is lost. */
function named(command: ContextCommand): ContextCommand {
  return command.type === 'context.retract'
    ? { ...command, operationId: command.operationId ?? randomUUID() }
    : command;
}

/** The methods that a client and its handles have, over the link of the one or the other. */
function methodsOver(parts: ActingParts) {
  const { link, clock, reader, writer } = parts;
  return {
    ...{ reader, writer, history: reader },
    readWith: (key, namespace, options) => reader.get(key, namespace, options),
    entryWith: (key, namespace, options) => reader.entry(key, namespace, options),
    barrier: () => writer.guard(async () => void (await link.ask({ type: 'cache.barrier' }, true))),
    reached: (position, { signal }) => reachedOver(link, position, signal),
    ask: async (command) => (await askOver(parts, parseCommand(command))) as never,
    changes: (options) => writer.guard(() => reader.changes(options)),
    watch: (options) => watchRemotely(link, clock, options),
    subscribe: (listener, filter) => subscribeRemotely(parts, listener, filter),
    transaction: (operations, options) => writer.transaction(operations, options),
  } satisfies Partial<MethodParts>;
}

/** Asks again while the server has not reached the position: it waits only for a limited time. */
async function reachedOver(link: Asking, position: number, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    try {
      await untilAborted(link.ask({ type: 'cache.reached', position }, true), signal);
      return;
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof ContextCacheError) || error.code !== 'TIMED_OUT') throw error;
    }
  }
}

/** Commands about the cache that change nothing, or nothing more when they are repeated. */
const REPEATABLE: ReadonlySet<string> = new Set([
  ...['grants.list', 'topics.list', 'backup.status', 'cache.health', 'cache.barrier', 'cache.reached'],
  ...['subjects.list', 'subjects.forget', 'context.retract'],
]);
