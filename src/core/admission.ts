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
import { checkFields, type Fields, type FieldsOf, lookUp } from './command-fields.ts';
import { conditionOf, isOnlyIfDifferent, UNCONDITIONAL } from './conditions.ts';
import { expiryOf } from './expiry.ts';
import { invalidCommand as invalid } from './invalid-command.ts';
import type { CacheLimits } from './limits.ts';
import { checkName, DEFAULT_NAMESPACE } from './names.ts';
import { type OriginOptions, originOf } from './origin.ts';
import { ParsedValueDoor } from './parsed-value.ts';
import { Request } from './request.ts';
import { unchecked, type ValueCheck } from './schemas.ts';
import { ANY_SIZE, checkWritable, mustSeal, type SubjectDoor, tagsIn, UNSEALED } from './sealed.ts';
import { checkStep, deleteStep, inBatch, tooShortKeys, touchStep } from './steps.ts';
import { type Admitted, admit, type Door, type JsonValue, ValueDoor } from './value.ts';
import { APPEND_OPTIONS, DELETE_OPTIONS, INCREMENT_OPTIONS, SET_OPTIONS, TOUCH_OPTIONS } from './write-options.ts';

/** Largest number of operations in a batch. */
export const MAX_BATCH_OPERATIONS = 1_000_000;

/**
 * Checks commands and creates their {@link Request}s, or throws before anything has changed. Methods, typed commands,
 * files, HTTP and NATS all use these checks.
 */
export class Admission {
  readonly #door: ValueDoor;
  readonly #parsedDoor: ParsedValueDoor;
  readonly #check: ValueCheck;
  readonly #maxKeyBytes: number;
  readonly #subjects: SubjectDoor;

  /** `subjects` seals values with subjects. Default: leaves them to another door. */
  constructor(limits: CacheLimits, check: ValueCheck, subjects: SubjectDoor = UNSEALED) {
    this.#subjects = subjects;
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
    if (mustSeal(value, options)) ({ value, bytes } = this.#sealed(namespace, key, value, options, origin.operationId));
    return new Request('context.set', namespace, at, origin, {
      operation: 'set',
      key,
      value,
      bytes,
      expiresAt,
      ifVersion,
      ifDifferent: options !== undefined && isOnlyIfDifferent(options),
    });
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
    return new Request('context.increment', namespace, at, originOf(options), {
      operation: 'set',
      key,
      value: by,
      bytes: 8,
      expiresAt: ttl === undefined && expiresAt === undefined ? SAME_EXPIRY : expiryOf(at, options),
      ifVersion: conditionOf(options),
      finish: this.#finish(namespace),
    });
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
      ({ value, bytes } = this.#sealed(namespace, prefix, value, options, origin.operationId));
      finish = undefined;
    }
    return new Request('context.append', namespace, at, origin, {
      operation: 'set',
      key: prefix,
      value,
      bytes,
      expiresAt: expiryOf(at, options),
      ifVersion: UNCONDITIONAL,
      finish,
    });
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
    return new Request('context.delete', namespace, at, originOf(options), deleteStep(key, options));
  }

  #touch(at: number, namespace: string, key: string, options: TouchOptions | undefined): Request {
    checkWritable(namespace);
    return new Request('context.touch', namespace, at, originOf(options), touchStep(at, key, options));
  }

  whole(at: number, type: 'context.clear' | 'context.drop', namespace: string, options?: ClearOptions): Request {
    checkWritable(namespace);
    const { prefix = '' } = options ?? {};
    checkName('key', prefix);
    return Request.ofWhole(type, namespace, at, originOf(options), null, prefix);
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
    const { operationId: id } = named;
    const steps = Array.from(operations, (operation, index) => this.#batchStep(at, namespace, operation, index, id));
    return Request.ofWhole('context.batch', namespace, at, named, steps);
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
      const step = this.#batchStep(at, namespace, operation && (rest as BatchOperation), index, named.operationId);
      const own = steps.get(namespace);
      if (own === undefined) steps.set(namespace, [step]);
      else own.push(step);
    }
    return Array.from(steps, ([namespace, own]) => Request.ofWhole('context.transaction', namespace, at, named, own));
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

  #batchStep(
    at: number,
    namespace: string,
    operation: BatchOperation,
    index: number,
    operationId: string | undefined,
  ): Step {
    checkFields(operation, `operations[${index}]`, BATCH_FIELDS, 'operation');
    if (operation.operation === 'set')
      return inBatch(this.#setStep(at, namespace, operation.key, operation.value, operation, operationId), operation);
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
    operationId: string | undefined,
  ): Step {
    checkName('key', key, this.#maxKeyBytes);
    let value = this.#door.admit(this.#check(namespace, key, candidate));
    let { bytes } = this.#door;
    if (mustSeal(value, options)) ({ value, bytes } = this.#sealed(namespace, key, value, options, operationId));
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

const EXPIRY = { ttl: 'may', expiresAt: 'may' } as const;
const REMOVE = { ifVersion: 'may', ifPresent: 'may' } as const;
const SUBJECT = { subject: 'may', subjects: 'may' } as const;
const WRITE = { ...EXPIRY, ...REMOVE, ...SUBJECT, ifAbsent: 'may', ifDifferent: 'may' } as const;
const IN_BATCH = { key: 'must', onConflict: 'may' } as const;

const BATCH_FIELDS: ReadonlyMap<string, Fields> = lookUp({
  set: { value: 'must', ...IN_BATCH, ...WRITE },
  delete: { ...IN_BATCH, ...REMOVE },
  touch: { ...IN_BATCH, ...EXPIRY, ...REMOVE },
  check: { ...IN_BATCH, ...REMOVE, ifAbsent: 'may' },
} satisfies {
  readonly [Name in BatchOperation['operation']]: FieldsOf<Extract<BatchOperation, { operation: Name }>, 'operation'>;
});

const IN_NAMESPACE = { namespace: 'may' } as const;
const OF_KEY = { key: 'must', ...IN_NAMESPACE } as const;
const IN_RANGE = { prefix: 'may', from: 'may', to: 'may', after: 'may', reverse: 'may', limit: 'may' } as const;
const ORIGIN = { agent: 'may', meta: 'may', operationId: 'may', basis: 'may' } as const;
const BY_AGENT = { ...ORIGIN, ...IN_NAMESPACE } as const;

const COMMAND_FIELDS: ReadonlyMap<string, Fields> = lookUp({
  'context.set': { value: 'must', ...OF_KEY, ...BY_AGENT, ...WRITE },
  'context.delete': { ...OF_KEY, ...BY_AGENT, ...REMOVE },
  'context.touch': { ...OF_KEY, ...BY_AGENT, ...EXPIRY, ...REMOVE },
  'context.increment': { by: 'may', ...OF_KEY, ...BY_AGENT, ...EXPIRY, ...REMOVE },
  'context.append': { value: 'must', prefix: 'may', ...BY_AGENT, ...EXPIRY, ...SUBJECT },
  'context.clear': { prefix: 'may', ...BY_AGENT },
  'context.drop': BY_AGENT,
  'context.batch': { operations: 'must', ...BY_AGENT },
  'context.transaction': { operations: 'must', ...ORIGIN },
  'context.get': OF_KEY,
  'context.has': OF_KEY,
  'context.entry': OF_KEY,
  'context.keys': { ...IN_NAMESPACE, ...IN_RANGE },
  'context.entries': { ...IN_NAMESPACE, ...IN_RANGE },
  'context.namespaces': IN_RANGE,
  'context.changes': { since: 'must', namespace: 'may', prefix: 'may', limit: 'may' },
  'context.provenance': { ...OF_KEY, at: 'may', limit: 'may' },
  'context.contradictions': { namespace: 'may', since: 'may', limit: 'may' },
  'context.impact': { position: 'may', key: 'may', namespace: 'may', limit: 'may' },
  'topics.set': { topics: 'must' },
  'topics.add': { topic: 'must' },
  'topics.remove': { topic: 'must' },
  'topics.list': {},
  'context.backup': {},
  'backup.enable': { settings: 'may' },
  'backup.disable': {},
  'backup.set': { settings: 'must' },
  'backup.status': {},
  'namespace.passivate': { namespace: 'must' },
  'namespace.restart': { namespace: 'must' },
  'cache.compact': { keepUpdates: 'may', keepMs: 'may', keepBytes: 'may', forget: 'may' },
  'subjects.forget': { subject: 'must', reason: 'may', ...ORIGIN },
  'subjects.list': {},
  'cache.flush': {},
  'cache.health': {},
  'cache.verify': { against: 'may', repair: 'may' },
} satisfies {
  readonly [Type in ContextCommand['type']]: FieldsOf<Extract<ContextCommand, { type: Type }>, 'type'>;
});

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
  ...(['context.changes', 'context.provenance', 'context.impact', 'context.contradictions'] as const),
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
