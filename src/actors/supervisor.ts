import { type Actor, type ActorLogic, type ActorRefFrom, createActor, type SnapshotFrom } from 'xstate';
import { type SupervisorEvent, supervisorMachine } from '../../machines/supervisor.ts';
import { isDataCommand, parseCommand } from '../core/admission.ts';
import type { ContextCommand } from '../core/command.ts';
import { ANY_VERSION } from '../core/conditions.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import { settledAsRepeated } from '../core/operations.ts';
import { Request } from '../core/request.ts';
import type { NamespaceActor, NamespaceRecord } from '../storage/namespace-record.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { CrashSupervision } from './crash-supervision.ts';
import { Executor, type NamespaceDeps, unheard } from './executor.ts';
import { ExpirySchedule } from './expiry-schedule.ts';
import { countInspectors, isObserved, LeanActor, shareOptions } from './lean-actor.ts';
import { Crash, createNamespaceLogic, type NamespaceLogic } from './namespace.ts';
import { failIfCrashed, unreadable } from './namespace-failures.ts';
import type { SupervisorDeps } from './supervisor-deps.ts';

/** The supervisor's logic: the statechart, its actions, and the command lane. */
export type SupervisorLogic = ActorLogic<
  SnapshotFrom<typeof supervisorMachine>,
  SupervisorEvent,
  undefined,
  // biome-ignore lint/suspicious/noExplicitAny: XState's own type for "any actor system"
  any
>;

/** Returns whether an event is a command: neither XState's own nor about the life of the supervisor. */
function isCommand({ type }: SupervisorEvent): boolean {
  return !type.startsWith('xstate.') && !type.startsWith('supervisor.');
}

/** Types of the events in which XState reports the end of an actor; the actor's id follows. */
const REPORTS = ['xstate.done.actor.', 'xstate.error.actor.'] as const;

/**
 * Gives the reports of all actors one type. XState keeps every type that a machine has seen for as long as the machine
 * exists, so each dropped namespace would leave 350 bytes behind. `actorId` identifies the actor.
 */
function withCommonType(event: SupervisorEvent): SupervisorEvent {
  const prefix = REPORTS.find((each) => event.type.startsWith(each));
  return prefix === undefined ? event : ({ ...event, type: `${prefix}any` } as SupervisorEvent);
}

/** Prefix of the actor id of a namespace; the name follows. */
const NAMESPACE_ID = 'namespace:';

/** Milliseconds before an expiry that was refused is retried. */
const EXPIRY_RETRY_MS = 1_000;

/**
 * The supervisor: an actor that routes commands to namespace actors, spawns them on demand and restarts them when
 * they crash.
 */
export class Supervisor {
  readonly actor: ActorRefFrom<SupervisorLogic>;
  readonly registry: NamespaceRegistry;
  readonly #deps: SupervisorDeps;
  readonly #executor: Executor;
  readonly #namespaceLogic: NamespaceLogic;
  /** `true` if commands may skip the mailboxes. A primary is code of the user's, which may send commands meanwhile. */
  readonly #inLane: boolean;
  readonly #inspectors: { readonly count: number };
  /** `true` while the supervisor's mailbox executes a command. Those that are dispatched meanwhile wait there for their turn. */
  #routing = false;
  readonly #expiries: ExpirySchedule;
  readonly #crashes: CrashSupervision;
  /** The options of all namespace actors, once they have been started. */
  readonly #started: Actor<NamespaceLogic>['options'];

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
    this.registry = deps.registry;
    const namespaceDeps: NamespaceDeps = {
      ...deps,
      aboutToChange: (name) => this.#withRecord(name, (record) => deps.registry.aboutToChange(record)),
      deadlinesChanged: (name) => this.#withRecord(name, (record) => this.#scheduleExpiry(record)),
      leftUnapplied: (name, updates) =>
        this.#withRecord(name, (record) => deps.registry.leaveUnapplied(record, updates)),
    };
    this.#executor = new Executor(namespaceDeps);
    this.#namespaceLogic = createNamespaceLogic(namespaceDeps, this.#executor);
    // In a cluster the stream's time says what is due, and a timer of this machine would remove it on this node alone.
    const wake = deps.sequence === undefined ? (name: string, at: number) => this.#wake(name, at) : undefined;
    this.#expiries = new ExpirySchedule(deps.clock, wake, deps.registry);
    this.#crashes = new CrashSupervision(deps, (record, state) => this.#resume(record, state));
    this.actor = createActor(this.#logic(), { id: 'supervisor', clock: deps.clock as never });
    this.#started = { parent: this.actor };
    this.#inLane = (deps.lane ?? true) && deps.primary === undefined;
    this.#inspectors = countInspectors(this.actor);
    this.actor.start();
  }

  /** Number of restarts so far, of all namespaces. */
  get restarts(): number {
    return this.#crashes.restarts;
  }

  /**
   * Sends an admitted request. It may be settled when this returns. The request skips the supervisor's mailbox while
   * nothing observes that.
   */
  dispatch(request: Request): void {
    const { actor } = this;
    if (this.#routing || !this.#canSkipMailbox(actor) || actor.getSnapshot().value !== 'running') actor.send(request);
    else this.#route(request);
  }

  /** Sends a command from outside. Reports anything else, and keeps it from the actor, which has events of its own. */
  accept(candidate: unknown): void {
    try {
      const command = parseCommand(candidate);
      if (this.actor.getSnapshot().value === 'running') this.actor.send(command);
      else this.#refuse(command);
    } catch (error) {
      this.#reportCommand(toError(error), 'unknown');
    }
  }

  /** Schedules the expiries of all namespaces at the start. A branch schedules those of a namespace when it first uses it. */
  scheduleAll(): void {
    if (this.registry.isBranch) return;
    for (const [name] of this.registry.entries()) {
      const at = this.registry.summary(name)?.nextExpiryAt;
      if (at !== null && at !== undefined) this.#expiries.add(name, at);
    }
  }

  /**
   * Returns the namespace whose entries are the first to expire at `now`, by (deadline, name); `undefined` if none has any.
   *
   * @throws {ContextCacheError} if a namespace cannot be read.
   */
  nextDue(now: number): string | undefined {
    return this.#expiries.nextDue(now, (name) => this.registry.find(name));
  }

  /** The next instant at which an entry may expire; `Infinity` if none will. */
  get nextExpiryAt(): number {
    return this.#expiries.nextAt;
  }

  /** Takes a namespace out of memory. Returns whether it could: it must be idle and the state table up to date. */
  passivateOne(record: NamespaceRecord): boolean {
    if (record.status !== 'resident' || !this.registry.isOnDisk(record)) return false;
    if (record.actor === undefined) {
      this.registry.release(record);
      return true;
    }
    record.actor.send({ type: 'namespace.passivate' });
    return record.actor === undefined;
  }

  /** Restarts a namespace that was given up. */
  restart(name: string): Promise<void> {
    const record = this.registry.find(name);
    if (record === undefined)
      throw new ContextCacheError(
        'NOT_FOUND',
        'There is no namespace of that name to restart. Check its name with listNamespaces.',
      );
    return this.#crashes.restartNow(record);
  }

  /** Refuses new commands from here on. */
  drain(): void {
    this.#expiries.stop();
    this.#crashes.stop();
    this.actor.send({ type: 'supervisor.drain' });
  }

  stop(): void {
    this.#expiries.stop();
    this.#crashes.stop();
    this.actor.send({ type: 'supervisor.stop' });
  }

  #logic(): SupervisorLogic {
    const machine = supervisorMachine.provide({
      actions: {
        route: ({ event }) => this.#receive(event),
        refuse: ({ event }) => this.#refuse(event),
        superviseCrash: ({ event }) => this.#childFailed(event),
        release: ({ event }) => this.#childDone(event),
        releaseAll: () => {},
      },
    });
    const inLane = this.#deps.lane ?? true;
    const transition: SupervisorLogic['transition'] = (snapshot, event, scope) => {
      if (inLane && snapshot.value === 'running' && (event instanceof Request || isCommand(event))) {
        this.#routing = true;
        try {
          this.#receive(event);
        } finally {
          this.#routing = false;
        }
        return snapshot;
      }
      return machine.transition(snapshot, withCommonType(event) as never, scope as never) as typeof snapshot;
    };
    return Object.create(machine, { transition: { value: transition } });
  }

  /** Executes a command without an answer; a failure is reported. */
  #receive(event: SupervisorEvent): void {
    if (event instanceof Request) {
      this.#route(event);
      return;
    }
    let command: ContextCommand | undefined;
    try {
      command = parseCommand(event);
      if (isDataCommand(command)) {
        const request = this.#deps.admission.request(this.#deps.door.now(), command);
        const ended = this.#deps.sent?.(request);
        request.whenSettled(({ error }) => {
          ended?.(error);
          if (error !== undefined) this.#reportCommand(error, request.type, request.namespace);
        });
        if (this.#deps.sequence === undefined) this.#route(request);
        else this.#deps.sequence.send(request);
      } else {
        const { type } = command;
        this.#deps.control(command).catch((error) => this.#reportCommand(toError(error), type));
      }
    } catch (error) {
      this.#reportCommand(toError(error), command?.type ?? 'unknown');
    }
  }

  #refuse(event: SupervisorEvent): void {
    const closed = new ContextCacheError('CLOSED', 'The cache is shutting down and accepts no more commands.');
    if (event instanceof Request) event.fail(closed);
    else this.#reportCommand(closed, event.type);
  }

  #reportCommand(error: Error, command: string, namespace?: string): void {
    this.#deps.report(error, { source: 'command', command, ...(namespace === undefined ? {} : { namespace }) });
  }

  #route(request: Request): void {
    const record = this.registry.inMemory(request.namespace);
    if (record !== undefined && record.status === 'resident') this.#execute(record, request);
    else this.#bringAndExecute(request);
  }

  /** Executes the command of a namespace that is not ready for it: out of memory, new, or restarting. */
  #bringAndExecute(request: Request): void {
    // Answers before a namespace is created that the operation may have dropped.
    if (settledAsRepeated(this.#deps.log.operations, request)) return;
    let record: NamespaceRecord | undefined;
    try {
      record = this.#recordFor(request);
    } catch (error) {
      // The files of this namespace cannot be read; the others continue.
      request.fail(unreadable(request.namespace, toError(error), this.#deps));
      return;
    }
    if (record === undefined) {
      // Only a set creates a namespace. Any other command changes nothing if it is missing.
      request.succeed({ version: 0, position: 0, changed: false });
    } else if (record.status === 'resident') {
      this.#execute(record, request);
    } else {
      record.used = true;
      this.#crashes.hold(record, request);
    }
  }

  #execute(record: NamespaceRecord, request: Request): void {
    record.used = true;
    this.#hand(record, request);
    if (record.state.version === 0) this.#releaseIfEmpty(record, request);
    if (request.expiresAt !== null || request.steps !== null) this.#scheduleExpiry(record);
  }

  #recordFor(request: Request): NamespaceRecord | undefined {
    const record = this.registry.find(request.namespace);
    if (record !== undefined) return record;
    const expects = request.ifVersion > 0 || request.ifVersion === ANY_VERSION;
    const creates = request.operation === 'set' || request.steps !== null || expects;
    if (!creates && this.#deps.primary === undefined) return undefined;
    return this.registry.put(request.namespace, new NamespaceState(request.namespace));
  }

  /** Removes from memory a namespace that was dropped, or that the command did not create. */
  #releaseIfEmpty(record: NamespaceRecord, request: Request): void {
    const { actor } = record;
    const inVain = this.#deps.primary === undefined && request.result?.changed !== true;
    if (inVain && actor?.getSnapshot().status === 'active') actor.send({ type: 'namespace.passivate' });
    if (actor?.getSnapshot().status === 'done') this.#release(record);
  }

  #release(record: NamespaceRecord): void {
    record.actor = undefined;
    this.registry.release(record);
  }

  #hand(record: NamespaceRecord, request: Request): void {
    this.registry.aboutToChange(record);
    const actor = record.actor ?? this.#spawn(record);
    // A drop ends the actor, so the machine handles it.
    if (request.type === 'context.drop' || !this.#canSkipMailbox(actor) || actor.getSnapshot().value !== 'ready') {
      actor.send(request);
      failIfCrashed(actor, request);
      return;
    }
    try {
      this.#executor.execute(record.state, request, unheard);
    } catch (error) {
      actor.send(new Crash(error));
      failIfCrashed(actor, request);
    }
  }

  /**
   * Returns whether a command may be executed without the actor's mailbox: in the lane, where no code of the user's runs
   * in the middle of a command, and while the actor has no observer.
   */
  #canSkipMailbox(actor: object): boolean {
    return this.#inLane && this.#inspectors.count === 0 && !isObserved(actor);
  }

  #spawn(record: NamespaceRecord): NamespaceActor {
    const { primary, clock } = this.#deps;
    const actor = new LeanActor(this.#namespaceLogic, {
      parent: this.actor,
      id: NAMESPACE_ID + record.name,
      input: { state: record.state, at: clock.now(), hydrated: primary === undefined || primary.synchronous === true },
    } as never);
    // The constructor has read a synchronous primary; if that failed, the actor holds the error.
    if (actor.getSnapshot().status === 'error') throw actor.getSnapshot().error;
    record.actor = actor as NamespaceActor;
    actor.start();
    shareOptions(actor, this.#started);
    if (this.registry.isBranch) this.#scheduleExpiry(record);
    return record.actor;
  }

  /** Gives a restarted namespace its state and the commands held meanwhile. */
  #resume(record: NamespaceRecord, state: NamespaceState): void {
    record.state = state;
    record.actor = undefined;
    record.status = 'resident';
    // The namespace crashed while it was dropped. The drop counts, so the waiting commands are sent again to a new one.
    if (state.version === 0) this.registry.release(record);
    for (const request of record.takeHeld()) this.#route(request);
    this.#scheduleExpiry(record);
  }

  #scheduleExpiry(record: NamespaceRecord, at = record.state.nextExpiryAt()): void {
    if (at >= (record.wakeAt ?? Number.POSITIVE_INFINITY)) return;
    record.wakeAt = at;
    this.#expiries.add(record.name, at);
  }

  #withRecord(name: string, run: (record: NamespaceRecord) => void): void {
    const record = this.registry.inMemory(name);
    if (record !== undefined) run(record);
  }

  /** Removes the expired entries of a namespace. */
  #wake(name: string, at: number): void {
    let record: NamespaceRecord | undefined;
    try {
      record = this.registry.find(name);
    } catch (error) {
      unreadable(name, toError(error), this.#deps);
      this.#expiries.add(name, at + EXPIRY_RETRY_MS);
      return;
    }
    if (record === undefined) return;
    record.wakeAt = undefined;
    if (record.status === 'resident' && record.state.nextExpiryAt() <= at) {
      this.registry.aboutToChange(record);
      (record.actor ?? this.#spawn(record)).send({ type: 'namespace.expire', at });
    }
    if (record.state.nextExpiryAt() > at) this.#scheduleExpiry(record);
    else if (record.status === 'resident') this.#scheduleExpiry(record, at + EXPIRY_RETRY_MS);
  }

  #childFailed(event: SupervisorEvent): void {
    const { actorId, error } = event as { actorId: string; error: unknown };
    const record = this.#recordOf(actorId);
    if (record === undefined) this.#deps.report(toError(error), { source: actorId });
    else this.#crashes.crashed(record, toError(error));
  }

  #childDone(event: SupervisorEvent): void {
    const record = this.#recordOf((event as { actorId: string }).actorId);
    // Another actor of the same name may have replaced it already.
    if (record?.actor?.getSnapshot().status === 'done') this.#release(record);
  }

  #recordOf(actorId: string): NamespaceRecord | undefined {
    if (!actorId.startsWith(NAMESPACE_ID)) return undefined;
    return this.registry.inMemory(actorId.slice(NAMESPACE_ID.length));
  }
}
