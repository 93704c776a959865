import { apply } from '../core/apply.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { Request } from '../core/request.ts';
import { decideRestart } from '../core/restart-policy.ts';
import type { NamespaceRecord } from '../storage/namespace-record.ts';
import type { SupervisorDeps } from './supervisor-deps.ts';

/** Milliseconds between two attempts to rebuild a namespace while storage cannot be read. */
const STORAGE_RETRY_MS = 200;

/**
 * Restarts namespaces whose actor crashed: rebuilds the state from the log and starts a new actor. Gives a namespace up
 * after too many crashes within a period (see `RestartPolicy`). Other namespaces are not affected.
 */
export class CrashSupervision {
  restarts = 0;
  readonly #deps: SupervisorDeps;
  readonly #resume: (record: NamespaceRecord, state: NamespaceState) => void;
  readonly #timers = new Map<NamespaceRecord, unknown>();
  readonly #rebuilding = new Map<NamespaceRecord, Promise<boolean>>();
  #stopped = false;

  constructor(deps: SupervisorDeps, resume: (record: NamespaceRecord, state: NamespaceState) => void) {
    this.#deps = deps;
    this.#resume = resume;
  }

  /** Schedules the restart of a namespace whose actor crashed, or gives it up. */
  crashed(record: NamespaceRecord, error: Error): void {
    const now = this.#deps.clock.now();
    const verdict = decideRestart(this.#deps.restartPolicy, record.crashes, now);
    record.crashes = [...record.crashes, now].slice(-this.#deps.restartPolicy.intensity - 1);
    record.lastError = error;
    record.actor = undefined;
    if (verdict === 'give-up' || this.#stopped) {
      this.#giveUp(record, error);
      return;
    }
    record.status = 'restarting';
    this.#deps.report(
      new ContextCacheError('NAMESPACE_UNAVAILABLE', 'A namespace crashed and is being restarted from the log.', {
        cause: error,
      }),
      { source: 'namespace', namespace: record.name },
    );
    this.#rebuildIn(record, verdict.delayMs);
  }

  /** Holds a command until its namespace is restarted. Fails it if the namespace was given up or too many wait. */
  hold(record: NamespaceRecord, request: Request): void {
    if (record.status === 'failed') request.fail(unavailable(record));
    else if (record.held.length < this.#deps.maxWaiting) record.hold(request);
    else
      request.fail(
        new ContextCacheError(
          'OVERLOADED',
          'Too many commands wait for this namespace, which is being restarted. Send fewer until it is back.',
        ),
      );
  }

  /** Restarts a namespace at once, whatever its earlier crashes. */
  async restartNow(record: NamespaceRecord): Promise<void> {
    if (record.status === 'resident') return;
    this.#deps.clock.clearTimeout(this.#timers.get(record));
    this.#timers.delete(record);
    record.crashes = [];
    record.status = 'restarting';
    if (!(await this.#rebuild(record))) throw unavailable(record);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) this.#deps.clock.clearTimeout(timer);
    this.#timers.clear();
    const closed = new ContextCacheError(
      'CLOSED',
      'The cache was shut down while the namespace was being restarted. Nothing was done.',
    );
    for (const record of this.#deps.registry.records()) for (const request of record.takeHeld()) request.fail(closed);
  }

  #rebuildIn(record: NamespaceRecord, delayMs: number): void {
    const timer = this.#deps.clock.setTimeout(() => {
      this.#timers.delete(record);
      void this.#rebuild(record);
    }, delayMs);
    this.#timers.set(record, timer);
  }

  /** Concurrent calls share one rebuild. */
  #rebuild(record: NamespaceRecord): Promise<boolean> {
    const underWay = this.#rebuilding.get(record);
    if (underWay !== undefined) return underWay;
    const rebuilt = this.#rebuildNow(record).finally(() => this.#rebuilding.delete(record));
    this.#rebuilding.set(record, rebuilt);
    return rebuilt;
  }

  async #rebuildNow(record: NamespaceRecord): Promise<boolean> {
    try {
      const state = await this.#stateFromLog(record);
      this.#deps.registry.leaveUnapplied(record, []);
      this.restarts += 1;
      this.#resume(record, state);
      return true;
    } catch (thrown) {
      const error = toError(thrown);
      if (isOfStorage(error) && !this.#stopped) this.#tryLater(record, error);
      else this.#giveUp(record, error);
      return false;
    }
  }

  /** Retries while the log reopens its storage. That is no crash, and the log recovers without help. */
  #tryLater(record: NamespaceRecord, error: Error): void {
    record.lastError = error;
    for (const request of record.takeHeld()) request.fail(error);
    this.#rebuildIn(record, STORAGE_RETRY_MS);
  }

  /**
   * With a state table: what it holds, and the log's updates since. In memory: the state that the crashed actor left,
   * whose every change was applied whole or not at all, and the updates that it could not apply. Those are not read from
   * the log: it may have released them meanwhile, and what it still holds may be from an earlier life of the namespace.
   */
  async #stateFromLog(record: NamespaceRecord): Promise<NamespaceState> {
    const { log, registry } = this.#deps;
    await log.flush();
    const { checkpoint } = registry;
    if (checkpoint === undefined) return registry.caughtUp(record);
    const state = registry.stateOnDisk(record.name) ?? record.state;
    for await (const updates of log.read(Math.max(log.first, checkpoint + 1))) {
      for (const update of updates) {
        if (update.namespace === record.name && update.position > state.position) apply(state, update);
      }
    }
    return state;
  }

  #giveUp(record: NamespaceRecord, error: Error): void {
    record.status = 'failed';
    record.lastError = error;
    for (const request of record.takeHeld()) request.fail(unavailable(record));
    this.#deps.report(unavailable(record), { source: 'namespace', namespace: record.name });
  }
}

function isOfStorage(error: Error): boolean {
  return error instanceof ContextCacheError && (error.code === 'LOG_UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN');
}

function unavailable(record: NamespaceRecord): ContextCacheError {
  return new ContextCacheError(
    'NAMESPACE_UNAVAILABLE',
    'This namespace crashed too often and was given up; the others continue. Fix the cause, then send namespace.restart.',
    { cause: record.lastError },
  );
}
