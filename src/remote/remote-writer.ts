import type { MaybePromise } from '../backends/base-context-cache.ts';
import { Admission } from '../core/admission.ts';
import type {
  Acknowledgement,
  Appended,
  AppendOptions,
  BatchOperation,
  ClearOptions,
  ConflictOption,
  DataCommand,
  Incremented,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  Step,
  TouchOptions,
  TransactionOperation,
  TransactionResult,
  WriteOptions,
} from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { toError } from '../core/errors.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import { readableValue, valueIn } from '../core/opened.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { FailureSource } from '../core/report.ts';
import type { Request } from '../core/request.ts';
import { unchecked } from '../core/schemas.ts';
import { optionsOfUpdate, type UpdateResult } from '../core/update-result.ts';
import { admit, type JsonValue } from '../core/value.ts';
import {
  BATCH_OPTIONS,
  CLEAR_OPTIONS,
  DROP_OPTIONS,
  GET_OR_SET_OPTIONS,
  SET_MANY_OPTIONS,
  TRANSACTION_OPTIONS,
  UPDATE_OPTIONS,
} from '../core/write-options.ts';
import type { Outcomes } from '../engine/outcome.ts';
import type { Hello } from '../wire/socket-protocol.ts';
import type { Asking } from './asking.ts';
import type { RequestObject } from './call.ts';
import type { RemoteReader } from './remote-reader.ts';

/** Maximum number of attempts of an `update` whose entry other writers keep changing. */
const MAX_TRIES = 1_000;

/**
 * Sends writes to a server, after the same checks as a cache makes. The promises need not be awaited: a failure that no
 * caller handles is reported.
 */
export class RemoteWriter {
  readonly #link: Asking;
  readonly #reader: RemoteReader;
  readonly #outcomes: Outcomes;
  readonly #making = new Map<string, Promise<JsonValue>>();
  readonly #nextId: (() => string) | undefined;
  #hello: Hello | undefined;
  #door: Admission | undefined;

  /** `nextId` returns the operation id of a write that has none; without it, such a write is not repeated. */
  constructor(link: Asking, reader: RemoteReader, outcomes: Outcomes, nextId: (() => string) | undefined) {
    this.#link = link;
    this.#reader = reader;
    this.#outcomes = outcomes;
    this.#nextId = nextId;
  }

  /** Returns a writer over another link and reader that is otherwise the same. */
  over(link: Asking, reader: RemoteReader): RemoteWriter {
    return new RemoteWriter(link, reader, this.#outcomes, this.#nextId);
  }

  set(key: string, value: unknown, namespace: string, options: WriteOptions | undefined): Promise<Acknowledgement> {
    return this.#write('context.set', () => this.#set(key, value, namespace, options));
  }

  setMany(
    values: object | Iterable<readonly [string, unknown]>,
    namespace: string,
    options: ManyOptions = {},
  ): Promise<Acknowledgement> {
    return this.#write('context.batch', () => {
      const { agent, meta, operationId, basis, ...given } = SET_MANY_OPTIONS.checked(options);
      const pairs: Iterable<readonly [string, unknown]> = Symbol.iterator in values ? values : Object.entries(values);
      const operations = Array.from(pairs, ([key, value]) => ({ operation: 'set' as const, key, value, ...given }));
      return this.#batch(operations, namespace, { agent, meta, operationId, basis });
    });
  }

  delete(key: string, namespace: string, options: RemoveOptions | undefined): Promise<Acknowledgement> {
    return this.#write('context.delete', () => {
      const request = this.#admission.delete(0, namespace, key, options);
      return { type: 'context.delete', key, namespace, ...optionsOf(options, request) };
    });
  }

  increment(key: string, by: number, namespace: string, options: IncrementOptions | undefined): Promise<Incremented> {
    return this.#write('context.increment', () => {
      const request = this.#admission.increment(0, namespace, key, by, options);
      return { type: 'context.increment', key, by, namespace, ...optionsOf(options, request) };
    }) as Promise<Incremented>;
  }

  append(value: unknown, namespace: string, options: AppendOptions | undefined): Promise<Appended> {
    return this.#write('context.append', () => {
      const request = this.#admission.append(0, namespace, value, options);
      const { prefix } = options ?? {};
      return { type: 'context.append', value: request.value, prefix, namespace, ...optionsOf(options, request) };
    }) as Promise<Appended>;
  }

  touch(key: string, namespace: string, options: TouchOptions): Promise<Acknowledgement> {
    return this.#write('context.touch', () => {
      const request = this.#admission.touch(0, namespace, key, options);
      return { type: 'context.touch', key, namespace, ...optionsOf(options, request) };
    });
  }

  batch(
    operations: readonly BatchOperation[],
    namespace: string,
    options: OriginOptions | undefined,
  ): Promise<Acknowledgement> {
    return this.#write('context.batch', () => this.#batch(operations, namespace, BATCH_OPTIONS.checked(options)));
  }

  clear(namespace: string, options: ClearOptions | undefined): Promise<Acknowledgement> {
    return this.#write('context.clear', () => this.#whole('context.clear', namespace, CLEAR_OPTIONS.checked(options)));
  }

  drop(namespace: string, options: OriginOptions | undefined): Promise<Acknowledgement> {
    return this.#write('context.drop', () => this.#whole('context.drop', namespace, DROP_OPTIONS.checked(options)));
  }

  transaction(operations: readonly TransactionOperation[], options: OriginOptions): Promise<TransactionResult> {
    return this.#write('context.transaction', () => {
      const parts = this.#admission.transaction(0, operations, TRANSACTION_OPTIONS.checked(options));
      const steps = new Map(parts.map(({ namespace, steps }) => [namespace, (steps ?? []).values()]));
      const inOrder = operations.map(({ namespace = DEFAULT_NAMESPACE }) => steps.get(namespace)?.next().value as Step);
      const [origin] = parts;
      const named = origin === undefined ? options : originIn(origin);
      return {
        type: 'context.transaction',
        operations: stepsOf(operations, inOrder),
        ...named,
      } as unknown as RequestObject;
    }) as Promise<unknown> as Promise<TransactionResult>;
  }

  /** Sends a data command whose fields `parseCommand` has checked. */
  command(command: DataCommand): Promise<Acknowledgement> {
    return this.#write(command.type, () => requestOf(command, this.#admission.request(0, command)));
  }

  /** Reads, changes and writes a value. Starts again if another writer changed the entry meanwhile. */
  update(
    key: string,
    change: (value: JsonValue | undefined) => unknown,
    namespace: string,
    options: WriteOptions | undefined,
  ): Promise<UpdateResult> {
    return this.guard(async () => {
      UPDATE_OPTIONS.check(options);
      for (let tries = 1; ; tries += 1) {
        const entry = await this.#reader.entry(key, namespace);
        const condition = optionsOfUpdate(options, entry, namespace, key);
        const before = readableValue(entry);
        const next = await change(before);
        if (next === undefined) {
          const { version, position } = await this.#unchanged(namespace);
          return { version, position, changed: false, value: before, entry };
        }
        try {
          return await this.#writeEntry(key, next, namespace, condition);
        } catch (error) {
          const again = error instanceof VersionConflictError && tries < MAX_TRIES && options?.ifVersion === undefined;
          if (!again) throw error;
        }
      }
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
      return this.#outcomes.rejected(toError(error), { source: 'command' });
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

  /** Calls `run`. Its error or rejection becomes a rejection that needs no handler. */
  guard<T>(run: () => Promise<T>, source: FailureSource = { source: 'command' }): Promise<T> {
    return this.#outcomes.pending<T>((resolve, reject) => {
      run().then(resolve, (error) => reject(toError(error)));
    }, source);
  }

  async #getOrSet(
    key: string,
    make: () => MaybePromise<unknown>,
    namespace: string,
    options: MakeOptions | undefined,
  ): Promise<JsonValue> {
    const present = await this.#reader.entry(key, namespace);
    const known = valueIn(present);
    if (known !== undefined) return known;
    const value = await make();
    try {
      const { entry } = await this.#writeEntry(key, value, namespace, { ...options, ifVersion: present?.version ?? 0 });
      return entry === undefined ? admit(value).value : entry.value;
    } catch (error) {
      const current = error instanceof VersionConflictError ? valueIn(error.current) : undefined;
      if (current !== undefined) return current;
      throw error;
    }
  }

  async #writeEntry(key: string, value: unknown, namespace: string, options: WriteOptions): Promise<UpdateResult> {
    const request = { ...this.#set(key, value, namespace, options), type: 'write.entry' };
    const written = (await this.#send(request)) as unknown as Acknowledgement & { readonly entry?: Entry };
    this.#link.saw(written.position);
    const { version, position, changed, entry } = written;
    // The key of a repeated write may have been removed since.
    return { version, position, changed, value: entry?.value, entry };
  }

  /** Resolves with version and position of a namespace, by a batch of nothing. */
  async #unchanged(namespace: string): Promise<Acknowledgement> {
    const request = { type: 'context.batch', operations: [], namespace };
    return (await this.#link.ask(request, true)) as unknown as Acknowledgement;
  }

  #set(key: string, value: unknown, namespace: string, options: WriteOptions | undefined): RequestObject {
    const request = this.#admission.set(0, namespace, key, value, options);
    return options === undefined
      ? { type: 'context.set', key, value: request.value, namespace }
      : { type: 'context.set', key, value: request.value, namespace, ...optionsOf(options, request) };
  }

  #batch(operations: readonly BatchOperation[], namespace: string, origin: OriginOptions | undefined): RequestObject {
    const request = this.#admission.batch(0, namespace, operations, origin);
    return { type: 'context.batch', operations: stepsOf(operations, request.steps), namespace, ...originIn(request) };
  }

  #whole(type: 'context.clear' | 'context.drop', namespace: string, options: ClearOptions | undefined): RequestObject {
    const request = this.#admission.whole(0, type, namespace, options);
    return { type, namespace, prefix: request.key === '' ? undefined : request.key, ...originIn(request) };
  }

  #send(request: RequestObject): Promise<JsonValue | undefined> {
    if (this.#nextId === undefined || request.operationId !== undefined) return this.#link.ask(request);
    return this.#link.ask({ ...request, operationId: this.#nextId() });
  }

  #write(command: string, make: () => RequestObject): Promise<Acknowledgement> {
    const source = { source: 'command', command };
    let request: RequestObject;
    try {
      request = make();
    } catch (error) {
      return this.#outcomes.rejected(toError(error), source);
    }
    return this.#outcomes.pending<Acknowledgement>((resolve, reject) => {
      this.#send(request).then((answer) => {
        const acknowledgement = answer as unknown as Acknowledgement;
        this.#link.saw(acknowledgement.position);
        resolve(acknowledgement);
      }, reject);
    }, source);
  }

  /** The door of the cache, with the limits that the server has told. Schemas are checked by the server alone. */
  get #admission(): Admission {
    const { hello } = this.#link;
    if (this.#door === undefined || this.#hello !== hello) {
      this.#hello = hello;
      this.#door = new Admission(hello.limits, unchecked);
    }
    return this.#door;
  }
}

/** Returns a data command as a request. `admitted` has its values. */
function requestOf(command: DataCommand, admitted: Request): RequestObject {
  switch (command.type) {
    case 'context.set':
      return { ...command, ...optionsOf(command, admitted), value: admitted.value };
    case 'context.append':
      return { ...command, ...optionsOf(command, admitted), value: admitted.value };
    case 'context.batch':
      return { ...command, ...originIn(admitted), operations: stepsOf(command.operations, admitted.steps) };
    case 'context.touch':
    case 'context.increment':
    case 'context.delete':
      return { ...command, ...optionsOf(command, admitted) };
    default:
      return { ...command, ...originIn(admitted) };
  }
}

function stepsOf(operations: readonly BatchOperation[], steps: readonly Step[] | null): RequestObject[] {
  return operations.map((operation, index) => {
    const { key, ...rest } = operation;
    const value = operation.operation === 'set' ? { value: steps?.[index]?.value } : {};
    return { ...rest, ...conditionOf(operation), ...value, key } as unknown as RequestObject;
  });
}

/** Returns the options of a write as the protocol has them: instants are numbers. `admitted` has its origin. */
function optionsOf(options: AnyOptions | undefined, admitted: Request): AnyOptions {
  return options === undefined ? {} : { ...conditionOf(options), ...originIn(admitted) };
}

function conditionOf(options: AnyOptions): AnyOptions {
  const { ttl, expiresAt, ifVersion, ifAbsent, ifPresent, ifDifferent, onConflict, subject, subjects } = options;
  const instant = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  return { ttl, expiresAt: instant, ifVersion, ifAbsent, ifPresent, ifDifferent, onConflict, subject, subjects };
}

/** The options of any write. */
type AnyOptions = WriteOptions & ConflictOption;

function originIn({ agent, meta, operationId, basis }: Request): OriginOptions {
  return { agent: agent ?? undefined, meta, operationId, basis };
}
