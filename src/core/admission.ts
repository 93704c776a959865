import { LONGEST_SUFFIX } from './append-key.ts';
import {
  type AppendOptions,
  type BatchOperation,
  type ClearOptions,
  type ContextCommand,
  type DataCommand,
  type IncrementOptions,
  type QueryCommand,
  type RemoveOptions,
  SAME_EXPIRY,
  type Step,
  type TouchOptions,
  type TransactionOperation,
  type WriteOptions,
} from './command.ts';
import { checkFields } from './command-fields.ts';
import { conditionOf, isOnlyIfDifferent, UNCONDITIONAL } from './conditions.ts';
import { expiryOf } from './expiry.ts';
import { invalidCommand as invalid } from './invalid-command.ts';
import { BATCH_FIELDS, COMMAND_FIELDS } from './known-fields.ts';
import type { CacheLimits } from './limits.ts';
import { checkName, DEFAULT_NAMESPACE } from './names.ts';
import { type Origin, type OriginOptions, originOf } from './origin.ts';
import { ParsedValueDoor } from './parsed-value.ts';
import { Request } from './request.ts';
import { unchecked, type ValueCheck } from './schemas.ts';
import { ANY_SIZE, checkWritable, mustSeal, type SubjectDoor, tagsIn, UNSEALED } from './sealed.ts';
import { checkStep, deleteStep, inBatch, tooShortKeys, touchStep } from './steps.ts';
import { type Admitted, admit, type Door, type JsonValue, ValueDoor } from './value.ts';
import { APPEND_OPTIONS, DELETE_OPTIONS, INCREMENT_OPTIONS, SET_OPTIONS, TOUCH_OPTIONS } from './write-options.ts';
import type { WriteRights } from './write-rights.ts';

/** Largest number of operations in a batch. */
export const MAX_BATCH_OPERATIONS = 1_000_000;

/**
 * Checks commands and creates their {@link Request}s, or throws before anything has changed. Methods, typed commands,
 * files, HTTP and NATS all use these checks.
 */
export class Admission {
  readonly #rights: WriteRights | undefined;
  readonly #door: ValueDoor;
  readonly #parsedDoor: ParsedValueDoor;
  readonly #check: ValueCheck;
  readonly #maxKeyBytes: number;
  readonly #subjects: SubjectDoor;

  /**
   * `subjects` seals values with subjects; default: leaves them to another door. `rights` refuses what an agent may not write;
   * default: nothing.
   */
  constructor(limits: CacheLimits, check: ValueCheck, subjects: SubjectDoor = UNSEALED, rights?: WriteRights) {
    this.#subjects = subjects;
    this.#rights = rights;
    this.#maxKeyBytes = limits.maxKeyBytes;
    this.#door = new ValueDoor(limits);
    this.#parsedDoor = new ParsedValueDoor(limits);
    this.#check = check;
  }

  set(at: number, namespace: string, key: string, candidate: unknown, options: WriteOptions | undefined): Request {
    if (options !== undefined) SET_OPTIONS.check(options);
    return this.#set(at, namespace, key, candidate, options);
  }

  delete(at: number, namespace: string, key: string, options: RemoveOptions | undefined): Request {
    DELETE_OPTIONS.check(options);
    return this.#delete(at, namespace, key, options);
  }

  touch(at: number, namespace: string, key: string, options: TouchOptions | undefined): Request {
    TOUCH_OPTIONS.check(options);
    return this.#touch(at, namespace, key, options);
  }

  /** `options` may be a whole command, whose fields have been checked. */
  #set(
    at: number,
    namespace: string,
    key: string,
    candidate: unknown,
    options: WriteOptions | undefined,
    door: Door = this.#door,
  ): Request {
    checkWritable(namespace);
    const origin = originOf(options);
    checkName('key', key, this.#maxKeyBytes);
    let value = door.admit(this.#check(namespace, key, candidate));
    let { bytes } = door;
    const expiresAt = options === undefined ? null : expiryOf(at, options);
    const ifVersion = options === undefined ? UNCONDITIONAL : conditionOf(options);
    if (mustSeal(value, options)) {
      this.#mustBeAllowed('context.set', namespace, key, origin);
      ({ value, bytes } = this.#sealed(namespace, key, value, options, origin.operationId));
    }
    const request = new Request('context.set', namespace, at, origin, {
      operation: 'set',
      key,
      value,
      bytes,
      expiresAt,
      ifVersion,
      ifDifferent: options !== undefined && isOnlyIfDifferent(options),
    });
    return this.#allowed(request);
  }

  /** Returns a request if its agent may make it. One without an agent is the owner's, who may do everything. */
  #allowed(request: Request): Request {
    if (request.agent !== null && this.#rights?.isOn === true) this.#rights.check(request);
    return request;
  }

  /**
   * Refuses a value before it is sealed. Sealing creates a key for a new subject, and tells whether a subject was forgotten.
   *
   * @throws {AccessDeniedError}
   */
  #mustBeAllowed(type: 'context.set' | 'context.append', namespace: string, key: string, origin: Origin): void {
    if (origin.agent === null || this.#rights?.isOn !== true) return;
    this.#rights.check(new Request(type, namespace, 0, origin, deleteStep(key, undefined)));
  }

  increment(at: number, namespace: string, key: string, by: number, options: IncrementOptions | undefined): Request {
    INCREMENT_OPTIONS.check(options);
    return this.#increment(at, namespace, key, by, options);
  }

  append(at: number, namespace: string, value: unknown, options: AppendOptions | undefined): Request {
    APPEND_OPTIONS.check(options);
    return this.#append(at, namespace, value, options);
  }

  #increment(at: number, namespace: string, key: string, by: unknown, options: IncrementOptions = {}): Request {
    checkWritable(namespace);
    checkName('key', key, this.#maxKeyBytes);
    if (typeof by !== 'number' || !Number.isFinite(by)) throw invalid('by must be a finite number');
    const { ttl, expiresAt } = options;
    const request = new Request('context.increment', namespace, at, originOf(options), {
      operation: 'set',
      key,
      value: by,
      bytes: 8,
      expiresAt: ttl === undefined && expiresAt === undefined ? SAME_EXPIRY : expiryOf(at, options),
      ifVersion: conditionOf(options),
      finish: this.#finish(namespace),
    });
    return this.#allowed(request);
  }

  #append(at: number, namespace: string, candidate: unknown, options: AppendOptions = {}): Request {
    checkWritable(namespace);
    const { prefix = '' } = options;
    if (this.#maxKeyBytes < LONGEST_SUFFIX) throw tooShortKeys(this.#maxKeyBytes);
    checkName('key', prefix, this.#maxKeyBytes - LONGEST_SUFFIX);
    const origin = originOf(options);
    let value = this.#door.admit(candidate);
    let { bytes } = this.#door;
    let finish = this.#finish(namespace);
    if (mustSeal(value, options)) {
      // The schema sees the value before it is sealed, and so before the whole key is known.
      value = this.#door.admit(this.#check(namespace, prefix, value));
      this.#mustBeAllowed('context.append', namespace, prefix, origin);
      ({ value, bytes } = this.#sealed(namespace, prefix, value, options, origin.operationId));
      finish = undefined;
    }
    const request = new Request('context.append', namespace, at, origin, {
      operation: 'set',
      key: prefix,
      value,
      bytes,
      expiresAt: expiryOf(at, options),
      ifVersion: UNCONDITIONAL,
      finish,
    });
    return this.#allowed(request);
  }

  /** Returns what is stored for a value with subjects, or for one that looks sealed. */
  #sealed(
    namespace: string,
    key: string,
    value: JsonValue,
    options: WriteOptions | undefined,
    operationId: string | undefined,
  ): Admitted {
    const tags = tagsIn(options);
    if (tags !== undefined && options !== undefined && isOnlyIfDifferent(options))
      throw invalid('give ifDifferent or a subject, not both: an encrypted value cannot be compared');
    return admit(this.#subjects.seal({ namespace, key, value, tags, operationId }), ANY_SIZE);
  }

  /** Returns the check of a value that is known only when its command is decided. */
  #finish(namespace: string): Step['finish'] {
    if (this.#check === unchecked) return undefined;
    const admitted = (value: unknown) => ({ value: this.#door.admit(value), bytes: this.#door.bytes });
    return (key, value) => admitted(this.#check(namespace, key, value));
  }

  #delete(at: number, namespace: string, key: string, options: RemoveOptions | undefined): Request {
    checkWritable(namespace);
    return this.#allowed(new Request('context.delete', namespace, at, originOf(options), deleteStep(key, options)));
  }

  #touch(at: number, namespace: string, key: string, options: TouchOptions | undefined): Request {
    checkWritable(namespace);
    return this.#allowed(new Request('context.touch', namespace, at, originOf(options), touchStep(at, key, options)));
  }

  whole(at: number, type: 'context.clear' | 'context.drop', namespace: string, options?: ClearOptions): Request {
    checkWritable(namespace);
    const { prefix = '' } = options ?? {};
    checkName('key', prefix);
    return this.#allowed(Request.ofWhole(type, namespace, at, originOf(options), null, prefix));
  }

  batch(
    at: number,
    namespace: string,
    operations: readonly BatchOperation[],
    origin: OriginOptions | undefined,
  ): Request {
    checkName('namespace', namespace);
    if (!Array.isArray(operations)) throw invalid('operations must be an array');
    if (operations.length > MAX_BATCH_OPERATIONS)
      throw invalid(`a batch may have at most ${MAX_BATCH_OPERATIONS} operations; split it`);
    // Not `map`, which would leave the holes of a sparse array unseen.
    if (operations.length > 0) checkWritable(namespace);
    const named = originOf(origin);
    const steps = Array.from(operations, (operation, index) => this.#batchStep(at, namespace, operation, index, named));
    return this.#allowed(Request.ofWhole('context.batch', namespace, at, named, steps));
  }

  /** Creates the parts of a transaction: a request for each namespace, in the order of their first operations. */
  transaction(at: number, operations: readonly TransactionOperation[], origin: OriginOptions | undefined): Request[] {
    if (!Array.isArray(operations)) throw invalid('operations must be an array');
    if (operations.length > MAX_BATCH_OPERATIONS)
      throw invalid(`a transaction may have at most ${MAX_BATCH_OPERATIONS} operations; split it`);
    const named = originOf(origin);
    const steps = new Map<string, Step[]>();
    for (const [index, operation] of Array.from(operations).entries()) {
      const { namespace = DEFAULT_NAMESPACE, ...rest } = operation ?? {};
      checkWritable(namespace);
      const step = this.#batchStep(at, namespace, operation && (rest as BatchOperation), index, named);
      const own = steps.get(namespace);
      if (own === undefined) steps.set(namespace, [step]);
      else own.push(step);
    }
    return Array.from(steps, ([namespace, own]) =>
      this.#allowed(Request.ofWhole('context.transaction', namespace, at, named, own)),
    );
  }

  /** Creates the request of a data command whose fields {@link parseCommand} has checked. */
  request(at: number, command: DataCommand): Request {
    const { namespace = DEFAULT_NAMESPACE } = command;
    switch (command.type) {
      case 'context.set':
        return this.#set(at, namespace, command.key, command.value, command);
      case 'context.delete':
        return this.#delete(at, namespace, command.key, command);
      case 'context.touch':
        return this.#touch(at, namespace, command.key, command);
      case 'context.increment':
        return this.#increment(at, namespace, command.key, command.by ?? 1, command);
      case 'context.append':
        return this.#append(at, namespace, command.value, command);
      case 'context.batch':
        return this.batch(at, namespace, command.operations, command);
      default:
        return this.whole(at, command.type, namespace, command);
    }
  }

  /**
   * Does the same as {@link request} for a command that was just parsed from text. Nothing else holds the value of a
   * `set`, so it becomes the stored value itself.
   */
  ofParsed(at: number, command: DataCommand): Request {
    // A schema may keep what it has validated.
    if (command.type !== 'context.set' || this.#check !== unchecked) return this.request(at, command);
    const { namespace = DEFAULT_NAMESPACE, key, value } = command;
    return this.#set(at, namespace, key, value, command, this.#parsedDoor);
  }

  #batchStep(at: number, namespace: string, operation: BatchOperation, index: number, origin: Origin): Step {
    checkFields(operation, `operations[${index}]`, BATCH_FIELDS, 'operation');
    if (operation.operation === 'set')
      return inBatch(this.#setStep(at, namespace, operation.key, operation.value, operation, origin), operation);
    if (operation.operation === 'delete') return inBatch(deleteStep(operation.key, operation), operation);
    if (operation.operation === 'check') return checkStep(operation.key, operation);
    return inBatch(touchStep(at, operation.key, operation), operation);
  }

  #setStep(
    at: number,
    namespace: string,
    key: string,
    candidate: unknown,
    options: WriteOptions,
    origin: Origin,
  ): Step {
    checkName('key', key, this.#maxKeyBytes);
    let value = this.#door.admit(this.#check(namespace, key, candidate));
    let { bytes } = this.#door;
    if (mustSeal(value, options)) {
      this.#mustBeAllowed('context.set', namespace, key, origin);
      ({ value, bytes } = this.#sealed(namespace, key, value, options, origin.operationId));
    }
    return {
      operation: 'set',
      key,
      value,
      bytes,
      expiresAt: expiryOf(at, options),
      ifVersion: conditionOf(options),
      ifDifferent: isOnlyIfDifferent(options),
    };
  }
}

const DATA_TYPES: ReadonlySet<string> = new Set<DataCommand['type']>([
  'context.set',
  'context.delete',
  'context.touch',
  'context.increment',
  'context.append',
  'context.clear',
  'context.drop',
  'context.batch',
]);

const QUERY_TYPES: ReadonlySet<string> = new Set<QueryCommand['type']>([
  ...(['context.get', 'context.has', 'context.entry'] as const),
  'context.keys',
  'context.entries',
  'context.namespaces',
  ...(['context.changes', 'context.search', 'context.provenance', 'context.impact', 'context.contradictions'] as const),
]);

/** Returns whether a command changes a namespace. */
export function isDataCommand(command: ContextCommand): command is DataCommand {
  return DATA_TYPES.has(command.type);
}

/** Returns whether a command only reads. */
export function isQueryCommand(command: ContextCommand): command is QueryCommand {
  return QUERY_TYPES.has(command.type);
}

/**
 * Checks that a value from outside is a command: an object of a known type with known fields. Names, values and options
 * are checked when the command is executed.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function parseCommand(candidate: unknown): ContextCommand {
  checkFields(candidate, 'a command', COMMAND_FIELDS, 'type');
  return candidate as ContextCommand;
}
