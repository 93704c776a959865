import type { Supervisor } from '../actors/supervisor.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Admission } from '../core/admission.ts';
import type { Clock } from '../core/clock.ts';
import type {
  Acknowledgement,
  Appended,
  AppendOptions,
  BatchOperation,
  ClearOptions,
  Incremented,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  TouchOptions,
  WriteOptions,
} from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import type { Entry } from '../core/namespace-state.ts';
import { openedError, openedValue, unshownConflict, valueIn } from '../core/opened.ts';
import type { OriginOptions } from '../core/origin.ts';
import { type FailureSource, sourceOf } from '../core/report.ts';
import type { Request } from '../core/request.ts';
import { KeyPending, type SubjectDoor } from '../core/sealed.ts';
import type { UpdateResult } from '../core/update-result.ts';
import type { JsonValue } from '../core/value.ts';
import {
  BATCH_OPTIONS,
  CLEAR_OPTIONS,
  DROP_OPTIONS,
  GET_OR_SET_OPTIONS,
  SET_MANY_OPTIONS,
  UPDATE_OPTIONS,
} from '../core/write-options.ts';
import type { Activity } from '../monitoring/activity.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { Conflicts } from './conflicts.ts';
import { Outcomes } from './outcome.ts';
import { updateEntry } from './update-entry.ts';

/** The parts that a {@link Writer} uses. */
export interface WriterDeps {
  /** Executes requests; in a cluster it sends them to be ordered. */
  readonly supervisor: Pick<Supervisor, 'dispatch' | 'registry'>;
  readonly admission: Admission;
  readonly log: UpdateLog;
  readonly clock: Pick<Clock, 'now'>;
  /** Acknowledges a write only once it is committed. */
  readonly awaitCommit: boolean;
  readonly readEntry: (key: string, namespace: string) => MaybePromise<Entry | undefined>;
  /** Reads a value from the custom primary; `undefined` without one. */
  readonly readFromPrimary: ((key: string, namespace: string) => MaybePromise<JsonValue | undefined>) | undefined;
  readonly report: (error: Error, source: FailureSource) => void;
  readonly conflicts: Conflicts;
  readonly activity: Activity;
  readonly subjects: SubjectDoor;
}

const ignore = (): void => {};

/** Sends requests through the supervisor. Returns promises of their results, which need not be awaited. */
export class Writer {
  readonly #deps: WriterDeps;
  /** Requests that wait for an asynchronous primary or a restart. */
  readonly #unsettled = new Set<Request>();
  #whenSettled: (() => void) | undefined;
  /** The commit that the latest writes wait for, and the promises of those writes. */
  #commit: Promise<void> | undefined;
  #acknowledged: Promise<Acknowledgement>[] = [];
  #closed = false;
  readonly #making = new Map<string, Promise<JsonValue>>();
  readonly #outcomes: Outcomes;
  // Closures in the methods themselves would cost every call what they capture.
  readonly #sends = (request: Request) => this.send(request);
  readonly #attempts = (request: Request) => this.#attempt(request);
  readonly #executes = (request: Request) => this.execute(request);
  readonly #whenDurable = (position: number) => this.whenDurable(position);

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#outcomes = new Outcomes(deps.report);
  }

  /** Does what {@link write} does for a `set`, the most frequent command, without a closure. */
  set(key: string, value: unknown, namespace: string, options: WriteOptions | undefined): Promise<Acknowledgement> {
    let request: Request;
    try {
      request = this.#deps.admission.set(this.#deps.clock.now(), namespace, key, value, options);
    } catch (error) {
      if (error instanceof KeyPending) return this.#keyed(error, () => this.set(key, value, namespace, options));
      return this.#reject(toError(error), { source: 'command' });
    }
    return this.execute(request);
  }

  /** Sets several values of one namespace, all or none. */
  setMany(
    values: object | Iterable<readonly [string, unknown]>,
    namespace: string,
    options: ManyOptions = {},
  ): Promise<Acknowledgement> {
    return this.write((admission, at) => {
      const { agent, meta, operationId, basis, ...given } = SET_MANY_OPTIONS.checked(options);
      const pairs: Iterable<readonly [string, unknown]> = Symbol.iterator in values ? values : Object.entries(values);
      const operations = Array.from(pairs, ([key, value]) => ({ operation: 'set' as const, key, value, ...given }));
      return admission.batch(at, namespace, operations, { agent, meta, operationId, basis });
    });
  }

  delete(key: string, namespace: string, options: RemoveOptions | undefined): Promise<Acknowledgement> {
    return this.write((admission, at) => admission.delete(at, namespace, key, options));
  }

  increment(key: string, by: number, namespace: string, options: IncrementOptions | undefined): Promise<Incremented> {
    return this.write((admission, at) => admission.increment(at, namespace, key, by, options)) as Promise<Incremented>;
  }

  append(value: unknown, namespace: string, options: AppendOptions | undefined): Promise<Appended> {
    return this.write((admission, at) => admission.append(at, namespace, value, options)) as Promise<Appended>;
  }

  touch(key: string, namespace: string, options: TouchOptions): Promise<Acknowledgement> {
    return this.write((admission, at) => admission.touch(at, namespace, key, options));
  }

  batch(
    operations: readonly BatchOperation[],
    namespace: string,
    options: OriginOptions | undefined,
  ): Promise<Acknowledgement> {
    return this.write((admission, at) => admission.batch(at, namespace, operations, BATCH_OPTIONS.checked(options)));
  }

  clear(namespace: string, options: ClearOptions | undefined): Promise<Acknowledgement> {
    return this.write((admission, at) =>
      admission.whole(at, 'context.clear', namespace, CLEAR_OPTIONS.checked(options)),
    );
  }

  drop(namespace: string, options: OriginOptions | undefined): Promise<Acknowledgement> {
    return this.write((admission, at) => admission.whole(at, 'context.drop', namespace, DROP_OPTIONS.checked(options)));
  }

  /** Creates a request and executes it. An error in creating it is a rejection too. */
  write(make: (admission: Admission, at: number) => Request): Promise<Acknowledgement> {
    let request: Request;
    try {
      request = make(this.#deps.admission, this.#deps.clock.now());
    } catch (error) {
      if (error instanceof KeyPending) return this.#keyed(error, () => this.write(make));
      return this.#reject(toError(error), { source: 'command' });
    }
    return this.execute(request);
  }

  /** Writes again once the key of a subject has arrived. */
  #keyed(pending: KeyPending, again: () => Promise<Acknowledgement>): Promise<Acknowledgement> {
    return this.guard(() => pending.ready.then(again));
  }

  /** Sends a request. The promise rejects if the request is refused or fails. */
  execute(request: Request): Promise<Acknowledgement> {
    const meter = this.#deps.activity.meter(request.type);
    return meter.begins() ? this.#deps.activity.write(meter, request, this.#sends) : this.send(request);
  }

  /** Does the same as {@link execute} for a request that is no caller's command: it is not counted. */
  send(request: Request): Promise<Acknowledgement> {
    if (this.#closed) return this.#refuse(request, closed());
    this.#deps.supervisor.dispatch(request);
    const { error, result } = request;
    if (result !== undefined) return Promise.resolve(this.#acknowledge(request, result));
    if (error !== undefined && !this.#mustComplete(error)) return this.#refuse(request, error);
    return this.#whenDone(request);
  }

  /**
   * Executes a request as {@link execute} does, but returns the result itself if the request ends in this turn, which
   * nearly every request does. The result is durable after {@link whenDurable}. A stream of thousands of commands so
   * needs no promise for each.
   *
   * @throws {ContextCacheError} if the request is refused in this turn.
   */
  attempt(request: Request): Acknowledgement | Promise<Acknowledgement> {
    const meter = this.#deps.activity.meter(request.type);
    return meter.begins() ? this.#deps.activity.write(meter, request, this.#attempts) : this.#attempt(request);
  }

  #attempt(request: Request): Acknowledgement | Promise<Acknowledgement> {
    if (this.#closed) throw closed();
    this.#deps.supervisor.dispatch(request);
    const { error, result } = request;
    if (result !== undefined) {
      this.#deps.activity.wrote(request);
      return result;
    }
    if (error === undefined || this.#mustComplete(error)) return this.#whenDone(request);
    this.#failed(request, error);
    throw openedError(this.#deps.subjects, error);
  }

  /**
   * Resolves when a result with this position is durable. Returns `undefined` if it is, or if this cache does not wait
   * for its log. Results of the same commit get the same promise.
   */
  whenDurable(position: number): Promise<void> | undefined {
    return this.#deps.awaitCommit ? this.#deps.log.whenCommitted(position) : undefined;
  }

  /** Reads, changes and writes a value. Starts again if another writer changed the entry meanwhile. */
  update(
    key: string,
    change: (value: JsonValue | undefined) => unknown,
    namespace: string,
    options: WriteOptions | undefined,
  ): Promise<UpdateResult> {
    const parts = { ...this.#deps, execute: this.#executes, whenDurable: this.#whenDurable };
    return this.guard(() => {
      UPDATE_OPTIONS.check(options);
      return updateEntry(parts, { key, change, namespace, options });
    });
  }

  /** Returns the value, or stores the result of `make` if the key is missing. Concurrent calls for a key share one `make`. */
  getOrSet(
    key: string,
    make: () => MaybePromise<unknown>,
    namespace: string,
    options: MakeOptions | undefined,
  ): Promise<JsonValue> {
    try {
      GET_OR_SET_OPTIONS.check(options);
    } catch (error) {
      return this.#reject(toError(error), { source: 'command' });
    }
    const id = JSON.stringify([namespace, key]);
    const making = this.#making.get(id);
    if (making !== undefined) return making;
    const made = this.guard(() =>
      this.#getOrSet(key, make, namespace, options).finally(() => {
        this.#making.delete(id);
      }),
    );
    this.#making.set(id, made);
    return made;
  }

  /** Resolves when no request is waiting. */
  idle(): Promise<void> {
    if (this.#unsettled.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenSettled = resolve;
    });
  }

  /** Refuses all further requests. */
  close(): void {
    this.#closed = true;
  }

  /** Rejects the requests that still wait, because they will no longer be executed. */
  giveUp(): void {
    const unknown =
      'The cache was shut down before the command finished. The primary may have applied it: read the key to find out.';
    for (const request of this.#unsettled) request.fail(new ContextCacheError('OUTCOME_UNKNOWN', unknown));
  }

  async #getOrSet(
    key: string,
    make: () => MaybePromise<unknown>,
    namespace: string,
    options: MakeOptions | undefined,
  ): Promise<JsonValue> {
    const present = await this.#deps.readEntry(key, namespace);
    const known = valueIn(present);
    if (known !== undefined) return known;
    const value = await make();
    const { subjects } = this.#deps;
    let stored: JsonValue | undefined;
    try {
      await this.write((admission, at) => {
        const request = admission.set(at, namespace, key, value, { ...options, ifVersion: present?.version ?? 0 });
        stored = request.value;
        return request;
      });
      return openedValue(subjects, namespace, key, stored) ?? null;
    } catch (error) {
      const current = error instanceof VersionConflictError ? valueIn(error.current) : undefined;
      if (current !== undefined) return current;
      throw error;
    }
  }

  /** Calls `run` at once. Its error or rejection becomes a rejection that needs no handler. */
  guard<T>(run: () => MaybePromise<T>, source: FailureSource = { source: 'command' }): Promise<T> {
    let result: MaybePromise<T>;
    try {
      result = run();
    } catch (error) {
      return this.#reject(toError(error), source);
    }
    if (!(result instanceof Promise)) return Promise.resolve(result);
    return this.#outcomes.pending((resolve, reject) => {
      result.then(resolve, (error) => reject(toError(error)));
    }, source);
  }

  /** Resolves with the result of a request that waits for an asynchronous primary or a restart. */
  #whenDone(request: Request): Promise<Acknowledgement> {
    return this.#outcomes.pending((resolve, reject) => {
      this.#unsettled.add(request);
      request.whenSettled(() => {
        this.#unsettled.delete(request);
        if (this.#unsettled.size === 0) this.#whenSettled?.();
        if (request.result !== undefined) resolve(this.#acknowledge(request, request.result));
        else this.#complete(request).then(reject);
      });
    }, sourceOf(request));
  }

  #acknowledge(request: Request, result: Acknowledgement): MaybePromise<Acknowledgement> {
    this.#deps.activity.wrote(request);
    const committed = this.whenDurable(result.position);
    if (committed === undefined) return result;
    if (committed !== this.#commit) this.#awaitCommit(committed);
    const acknowledged = committed.then(() => result);
    this.#acknowledged.push(acknowledged);
    return acknowledged;
  }

  /**
   * Attaches handlers to the acknowledgements of a commit only when it fails. The log itself reports why it could not
   * commit. A handler for each write would add a second promise: a tenth of a write's time with thousands in flight.
   */
  #awaitCommit(committed: Promise<void>): void {
    const acknowledged: Promise<Acknowledgement>[] = [];
    this.#commit = committed;
    this.#acknowledged = acknowledged;
    committed.then(
      () => {
        acknowledged.length = 0;
      },
      () => {
        for (const each of acknowledged) each.catch(ignore);
      },
    );
  }

  /** Returns whether the error lacks the present value, which only the primary has. */
  #mustComplete(error: Error): error is VersionConflictError {
    return (
      this.#deps.readFromPrimary !== undefined && error instanceof VersionConflictError && error.current !== undefined
    );
  }

  /** Resolves with the request's error. Adds the primary's value to a version conflict. */
  async #complete(request: Request): Promise<Error> {
    const { error = new Error('The request ended without an outcome.') } = request;
    this.#failed(request, error);
    if (!this.#mustComplete(error)) return openedError(this.#deps.subjects, error);
    const { namespace, key, expected, current } = error;
    try {
      const value = await this.#deps.readFromPrimary?.(key, namespace);
      const complete = value === undefined || current === undefined ? undefined : { ...current, value };
      return openedError(this.#deps.subjects, new VersionConflictError(namespace, key, expected, complete));
    } catch (thrown) {
      return unshownConflict(toError(thrown), error);
    }
  }

  #refuse(request: Request, error: Error): Promise<never> {
    this.#failed(request, error);
    return this.#outcomes.rejected(openedError(this.#deps.subjects, error), sourceOf(request));
  }

  #failed(request: Request, error: Error): void {
    this.#deps.conflicts.add(request, error);
    this.#deps.activity.failed(error, request.type);
  }

  #reject(error: Error, source: FailureSource): Promise<never> {
    this.#deps.activity.failed(error);
    return this.#outcomes.rejected(error, source);
  }
}

function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The cache is shut down.');
}
