import { Passivation } from '../actors/passivation.ts';
import { Supervisor } from '../actors/supervisor.ts';
import { WatchHub } from '../actors/watch-hub.ts';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Owner } from '../backends/owner.ts';
import type { Admission } from '../core/admission.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import type { ContextCommand } from '../core/command.ts';
import { withDeadline } from '../core/deadline.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { UNTIMED } from '../core/expiry.ts';
import type { FailureSource } from '../core/report.ts';
import { DEFAULT_RESTART_POLICY } from '../core/restart-policy.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import type { Update } from '../core/update.ts';
import { BackupSink } from '../followers/backup/backup-sink.ts';
import type { BroadcasterSink } from '../followers/broadcast/broadcaster-sink.ts';
import { type TopicEntry, TopicsListConfig } from '../followers/broadcast/topics.ts';
import { DEFAULT_BACK_OFF } from '../followers/follower.ts';
import { Followers, type Undelivered } from '../followers/followers.ts';
import { MirrorSink } from '../followers/mirror/mirror-sink.ts';
import { Activity } from '../monitoring/activity.ts';
import { Reporter } from '../monitoring/reporter.ts';
import { codeOf } from '../monitoring/trace.ts';
import type { ConfigStore } from '../storage/config-store.ts';
import type { FollowerSink, StateCapture } from '../storage/follower-sink.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { Retention } from '../storage/retention.ts';
import { captureState } from '../storage/state-capture.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { SubjectVault } from '../subjects/subject-vault.ts';
import { Access } from './access.ts';
import { admissionOf } from './admission-of.ts';
import { Conflicts } from './conflicts.ts';
import { backupManagerOf, broadcasterOf, keptBackup, redisIn, secondaryOf } from './destinations.ts';
import { type CacheHealth, serverHealth } from './health.ts';
import { inTime } from './in-time.ts';
import { LOG_RANGE, type LogRange } from './log-range.ts';
import type { EngineOptions } from './options.ts';
import { valuesOf } from './primary-values.ts';
import type { LeftUndone, Sequencer } from './sequencer.ts';
import { ancestorsOf, type Storage } from './storage.ts';
import { migrating, subjectsOf } from './subjects-of.ts';

/** The work that a shutdown could not finish. */
export interface ShutdownReport {
  /** Followers with updates left to deliver. A durable log keeps them for the next start, a cluster for another node. */
  readonly undelivered: readonly Undelivered[];
  /** True if commands were still waiting for an asynchronous primary. */
  readonly unfinishedCommands: boolean;
  /** Why the final snapshot failed; `undefined` if it was stored or none was due. */
  readonly backupError: Error | undefined;
  /** Why the log could not write its last updates, which are lost with the process; `undefined` if it could. */
  readonly logError: Error | undefined;
}

/** Names of the followers, as health and warnings show them. */
export const FOLLOWER = {
  mirror: 'mirror',
  broadcaster: 'broadcaster',
  backup: 'backup',
  index: 'index',
} as const;

/** Milliseconds that a caller waits at most for the state table. */
const CHECKPOINT_MS = 30_000;

/** Milliseconds between two writes of the state table while little changes. */
const CHECKPOINT_LINGER_MS = 2_000;
/**
 * Bytes of updates after which the state table is written earlier. A quarter of what the log keeps in memory, where
 * reading the updates costs much less than from disk.
 */
const CHECKPOINT_LINGER_BYTES = 16 * 1024 * 1024;

/** Milliseconds between two calls of the backup, which only needs to know that something changed. Each call is a write. */
const BACKUP_LINGER_MS = 100;

/** The parts of a cache, connected to each other. */
export class Engine {
  readonly clock: Clock;
  readonly log: UpdateLog;
  readonly config: ConfigStore;
  readonly registry: NamespaceRegistry;
  readonly access: Access;
  readonly admission: Admission;
  readonly subjects: SubjectVault;
  /** Opens and migrates values for readers of the present. */
  readonly reading: SubjectDoor;
  readonly supervisor: Supervisor;
  /** Orders requests in a cluster; `undefined` without one. */
  readonly sequencer: Sequencer | undefined;
  /** The time that commands are stamped with. */
  readonly door: Pick<Clock, 'now'>;
  readonly followers: Followers;
  readonly watchers: WatchHub;
  readonly conflicts = new Conflicts();
  readonly activity: Activity;
  readonly reporter: Reporter;
  readonly topics: TopicsListConfig;
  readonly broadcaster: BroadcasterSink;
  readonly backup: BackupSink | undefined;
  readonly primary: BaseContextCache | undefined;
  readonly retention: Retention;
  /** The backend that is mirrored to; `undefined` without one. */
  readonly secondary: BaseContextCache | undefined;
  readonly #options: EngineOptions;
  readonly #owner: Owner;
  #passivation: Passivation | undefined;
  #broadcasterSynced: Promise<void> = Promise.resolve();
  #errors: CacheHealth['errors'] = { count: 0, last: undefined };
  #closed = false;
  readonly #assigned = new Set<string>();

  constructor(options: EngineOptions, storage: Storage, control: (command: ContextCommand) => Promise<unknown>) {
    this.#options = options;
    this.reporter = new Reporter(options);
    this.clock = options.clock ?? systemClock;
    this.sequencer = options.sequencer;
    this.door = this.sequencer === undefined ? this.clock : { now: () => UNTIMED };
    this.log = storage.log;
    this.config = storage.config;
    this.primary = options.primaryCache;
    this.activity = new Activity({ clock: this.clock, log: this.log.id, details: this.reporter.details });
    this.#owner = { log: this.log.id, durable: this.log.durable, ancestors: ancestorsOf(storage.config) };
    const { clock, sequencer, config } = this;
    this.access = new Access({ clock, sequencer, config, options });
    this.registry = storage.registry;
    this.subjects = subjectsOf(options, this.registry, this.report);
    this.reading = migrating(this.subjects, options);
    this.admission = admissionOf(options, this.subjects, this.access);
    this.supervisor = new Supervisor({
      ...options.internals,
      ...{ clock: this.clock, door: this.door, log: this.log, admission: this.admission },
      ...{ registry: this.registry, primary: this.primary, maxWaiting: options.maxWaiting ?? 10_000 },
      restartPolicy: { ...DEFAULT_RESTART_POLICY, ...options.restart },
      report: this.report,
      sent: (request) => {
        const ended = this.activity.sent(request);
        return (error) => {
          if (error !== undefined) this.conflicts.add(request, error);
          ended(error);
        };
      },
      entryExpired: () => {
        this.activity.expiries += 1;
      },
      ...{ control, sequence: this.sequencer },
    });
    this.followers = new Followers({
      log: this.log,
      clock: this.clock,
      parent: this.supervisor.actor,
      backOff: { ...DEFAULT_BACK_OFF, ...options.backOff },
      captureState: this.captureState,
      report: this.report,
      reporter: this.reporter,
    });
    this.watchers = new WatchHub(this.log, this.report);
    this.log.onStatus((status, cause) => {
      if (cause !== undefined) this.report(cause, { source: `log ${status}` });
      else if (status === 'ready') this.reporter.log('info', { source: 'log' }, 'The log takes writes again.');
    });
    this.topics = new TopicsListConfig((storage.config.get('topics') ?? []) as unknown as TopicEntry[]);
    this.broadcaster = broadcasterOf(options, this.topics, this.log, this.clock, (error) =>
      this.report(error, { source: FOLLOWER.broadcaster }),
    );
    this.backup = this.#createBackup();
    this.secondary = secondaryOf(options, this.clock);
    this.#startFollowers(storage.index);
    const { passivateAfterMs: afterMs = 600_000, maxResidentNamespaces: maxResident = 100_000 } = this.#options;
    if (storage.index !== undefined) {
      this.#passivation = new Passivation(this.supervisor, { clock: this.clock, afterMs, maxResident });
    }
    this.supervisor.scheduleAll();
    this.retention = new Retention({
      ...{ retained: storage.retained, log: this.log, clock: this.clock, report: this.report },
      bounds: options.log ?? {},
      // Retention waits only for these two. A follower that delivers to another system may never catch up.
      caughtUp: (signal) => this.caughtUp([FOLLOWER.index, FOLLOWER.backup], signal),
    });
    const where = this.log.durable ? 'with a data directory' : 'in memory';
    this.reporter.log('info', { source: 'cache' }, `Opened ${where} at position ${this.log.head}.`);
  }

  /** Resolves once the named followers have processed everything committed so far. Ignores names that do not exist. */
  caughtUp(names: readonly string[], signal?: AbortSignal): Promise<void> {
    const caughtUp = async (limited: AbortSignal) => {
      await Promise.all(names.map((name) => this.followers.get(name)?.caughtUp(limited)));
    };
    return withDeadline(caughtUp, { what: 'The state table', timeoutMs: CHECKPOINT_MS, clock: this.clock, signal });
  }

  /** Captures all namespaces in their present state. */
  readonly captureState = (): StateCapture =>
    captureState(
      this.registry,
      this.log,
      this.clock.now(),
      this.primary && valuesOf(this.primary),
      this.sequencer?.stored(),
    );

  async *readLog(range: LogRange): AsyncGenerator<Update> {
    const { from = this.log.first, to, namespace } = LOG_RANGE.checked(range);
    for await (const updates of this.log.read(from, to)) {
      for (const update of updates) if (namespace === undefined || update.namespace === namespace) yield update;
    }
  }

  /** Reports a failure that no caller handles. */
  readonly report = (error: Error, source: FailureSource): void => {
    const code = codeOf(error);
    this.#errors = { count: this.#errors.count + 1, last: { code, message: error.message, at: this.clock.now() } };
    this.reporter.failure(error, source);
  };

  get errors(): CacheHealth['errors'] {
    return this.#errors;
  }

  /** Stores the topics. Starts the broadcast with the first topic and ends it with the last one. */
  async topicsChanged(): Promise<void> {
    this.#assertOpen();
    await this.config.set(
      'topics',
      this.topics.entries().map(({ topic, since }) => ({ topic, since })),
    );
    // In sequence, because a follower keeps its name until it is removed.
    this.#broadcasterSynced = this.#broadcasterSynced.then(() => this.#syncBroadcaster());
    await this.#broadcasterSynced;
  }

  /** Stores the backup settings. */
  async backupChanged(): Promise<void> {
    this.#assertOpen();
    if (this.backup === undefined) return;
    await this.config.set('backup', { enabled: this.backup.isEnabled(), settings: { ...this.backup.getSettings() } });
  }

  health(closed: boolean): CacheHealth {
    const { log, registry, supervisor } = this;
    const { id, durable, status, head, committed, first } = log;
    const followers = this.followers.health();
    const failed = [...registry.unreadable];
    for (const each of registry.records()) if (each.status === 'failed') failed.push(each.name);
    const cluster = this.sequencer?.health();
    const delivers = followers.every(({ attempts }) => attempts === 0);
    const ok = status === 'ready' && failed.length === 0 && delivers && (cluster?.status ?? 'ready') === 'ready';
    return {
      status: closed ? 'closed' : ok ? 'ok' : 'degraded',
      log: { id, durable, status, head, committed, first },
      retention: this.retention.health(),
      namespaces: { total: registry.size, resident: registry.resident, failed, restarts: supervisor.restarts },
      followers,
      redis: serverHealth(this.followers.get(FOLLOWER.mirror), redisIn(this.secondary)),
      nats: serverHealth(this.followers.get(FOLLOWER.broadcaster), this.broadcaster),
      topics: this.topics.list(),
      backup: this.backup?.status(),
      watchers: this.watchers.size,
      errors: this.#errors,
      access: this.access.health(),
      activity: this.activity.health(this.conflicts.count),
      cluster,
    };
  }

  /** Ends all parts in the direction of the flow. `idle` resolves once no command is waiting. `left`: from leaving a cluster. */
  async shutdown(timeoutMs: number, idle: () => Promise<void>, left: LeftUndone): Promise<ShutdownReport> {
    this.#closed = true;
    const deadline = new AbortController();
    const timer = this.clock.setTimeout(
      () =>
        deadline.abort(new ContextCacheError('TIMED_OUT', 'The shutdown ran out of time. Give a longer timeoutMs.')),
      timeoutMs,
    );
    this.#passivation?.stop();
    const compacted = this.retention.stop();
    try {
      this.supervisor.drain();
      const unfinishedCommands = !(await inTime(idle(), deadline.signal)) || left.unfinishedCommands;
      await inTime(this.log.flush(), deadline.signal);
      const undelivered = [...left.undelivered, ...(await this.followers.drain(deadline.signal))];
      const backupError = await this.backup?.drain(deadline.signal).then(() => undefined, toError);
      await compacted;
      await this.#close('followers', () => this.followers.stop());
      await this.#close(FOLLOWER.backup, () => this.backup?.close());
      this.watchers.close();
      this.supervisor.stop();
      const logError = await this.log.close().then(() => undefined, toError);
      await inTime(
        this.#close('primary', () => this.primary?.close?.()),
        deadline.signal,
      );
      this.reporter.log('info', { source: 'cache' }, `Shut down at position ${this.log.head}.`);
      return { undelivered, unfinishedCommands, backupError, logError };
    } finally {
      this.clock.clearTimeout(timer);
    }
  }

  /** Closes one part. A failure is reported and does not keep the log open. */
  async #close(source: string, close: () => unknown): Promise<void> {
    try {
      await close();
    } catch (error) {
      this.report(toError(error), { source });
    }
  }

  /** Refuses to restart a part after the shutdown. */
  #assertOpen(): void {
    if (this.#closed) throw new ContextCacheError('CLOSED', 'The cache is shut down.');
  }

  #startFollowers(index: FollowerSink | undefined): void {
    if (index !== undefined) {
      this.followers.add({
        name: FOLLOWER.index,
        sink: index,
        lingerMs: this.#options.internals?.checkpointMs ?? CHECKPOINT_LINGER_MS,
        lingerBytes: CHECKPOINT_LINGER_BYTES,
      });
    }
    if (this.sequencer === undefined) {
      if (this.secondary !== undefined) this.#addMirror(this.secondary);
      if (this.#options.topics !== undefined) this.topics.set(this.#options.topics, this.log.head);
    }
    this.#broadcasterSynced = this.#syncBroadcaster();
    if (this.backup !== undefined)
      this.followers.add({
        name: FOLLOWER.backup,
        sink: this.backup,
        start: this.log.head,
        lingerMs: BACKUP_LINGER_MS,
      });
  }

  #createBackup(): BackupSink | undefined {
    const manager = backupManagerOf(this.#options, this.clock, this.config, this.#owner);
    if (manager === undefined) return undefined;
    return new BackupSink({
      manager,
      captureState: this.captureState,
      clock: this.clock,
      enabled: this.#options.backup?.enabled ?? keptBackup(this.config).enabled ?? false,
      active: this.#options.sharesSnapshots !== true,
      onError: (error) => this.report(error, { source: FOLLOWER.backup }),
    });
  }

  /** Starts or ends the broadcast. It starts at the head of the log when its first topic is added: topics get no past updates. */
  async #syncBroadcaster(): Promise<void> {
    if (this.#options.natsUrl === null) return;
    const running = this.followers.get(FOLLOWER.broadcaster) !== undefined;
    if (this.topics.size > 0 && !running && this.#runs(FOLLOWER.broadcaster)) {
      const oldest = Math.min(...this.topics.entries().map(({ since }) => since));
      this.followers.add({ name: FOLLOWER.broadcaster, sink: this.broadcaster, start: oldest });
    } else if (this.topics.size === 0 && running) {
      await this.followers.remove(FOLLOWER.broadcaster);
    } else if (running && !this.#runs(FOLLOWER.broadcaster)) {
      await this.followers.release(FOLLOWER.broadcaster);
    }
  }

  async #syncMirror(): Promise<void> {
    const running = this.followers.get(FOLLOWER.mirror) !== undefined;
    if (this.secondary === undefined || running === this.#runs(FOLLOWER.mirror)) return;
    return running ? this.followers.release(FOLLOWER.mirror) : this.#addMirror(this.secondary);
  }

  #addMirror(secondary: BaseContextCache): void {
    const sink = new MirrorSink(secondary, this.#owner, this.clock, this.#options.mirrorTimeoutMs);
    this.followers.add({ name: FOLLOWER.mirror, sink });
  }

  /** Returns whether this process does the work: without a cluster always. */
  #runs(name: string): boolean {
    return this.sequencer === undefined || this.#assigned.has(name);
  }

  /** Names of the work that only one node of a cluster does, as far as this node can do it. */
  get duties(): string[] {
    const { natsUrl, sharesSnapshots } = this.#options;
    return [
      ...(this.secondary === undefined ? [] : [FOLLOWER.mirror]),
      ...(natsUrl === null ? [] : [FOLLOWER.broadcaster]),
      ...(sharesSnapshots === true ? [FOLLOWER.backup] : []),
    ];
  }

  /** Starts or ends work that only one node of a cluster does. */
  async assign(name: string, isHeld: boolean): Promise<void> {
    if (isHeld) this.#assigned.add(name);
    else this.#assigned.delete(name);
    if (name === FOLLOWER.backup) this.backup?.activate(isHeld);
    else if (name === FOLLOWER.mirror) await this.#syncMirror();
    else await this.topicsChanged();
  }
}
