import { hash } from 'node:crypto';
import type { Acknowledgement, Appended, Incremented, TransactionResult } from './command.ts';
import { encode } from './encoding/codec.ts';
import { ContextCacheError, toError } from './errors.ts';
import type { Request } from './request.ts';
import type { Update } from './update.ts';
import type { JsonValue } from './value.ts';

/** Number of operations that are remembered at most. */
export const MAX_OPERATIONS = 10_000;
/** An operation is remembered for this long, milliseconds. */
export const OPERATION_MS = 24 * 60 * 60 * 1000;
/** Characters of ids, namespaces and keys that are remembered at most. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

/** A write with an operation id that was applied, as far as its repetition needs it. */
export interface Operation {
  readonly id: string;
  /** Instant of the command. */
  readonly at: number;
  /** Position of its last update. */
  readonly position: number;
  /** Number of its updates. */
  readonly updates: number;
  /** Hash of its command if its updates have one; otherwise of what they did: operations, namespaces, keys and values. */
  readonly print: number;
  /** Key of the last update. */
  readonly key: string | null;
  /** Value of the last update if it is a number: the answer to an increment. */
  readonly number: number | null;
  /** Its namespaces, each with its version after the operation, in the order of their updates. */
  readonly versions: ReadonlyMap<string, number>;
}

/** An operation in the window, which grows with each of its updates: a transaction may change many namespaces. */
type Remembered = { -readonly [Field in Exclude<keyof Operation, 'versions'>]: Operation[Field] } & {
  readonly versions: Map<string, number>;
  /** Characters of its id, of its namespaces and of its last key. */
  characters: number;
};

/** The remembered operations as they are stored, a part of a log's heading and of a snapshot. */
export interface StoredOperations {
  /** Position of the last operation that was forgotten; 0: none. */
  readonly forgotten: number;
  /** Oldest first: `[id, at, position, updates, print, key, number, [namespace, version, …]]`. */
  readonly operations: readonly (readonly JsonValue[])[];
}

/**
 * The operation id of a write belongs to another write that has been applied. Nothing has changed. Use a new id for each
 * write, and the same one only to repeat it.
 */
export class OperationReusedError extends ContextCacheError {
  readonly operationId: string;
  /** Acknowledgement of the write that was applied under this id. */
  readonly acknowledgement: Acknowledgement;

  constructor(operationId: string, acknowledgement: Acknowledgement) {
    super(
      'OPERATION_REUSED',
      'The operation id belongs to another write that was applied (see acknowledgement). Use a new id for each write.',
    );
    this.name = 'OperationReusedError';
    this.operationId = operationId;
    this.acknowledgement = acknowledgement;
  }
}

/**
 * The latest operations of a log: what {@link OperationWindow.add} has made of its updates, in order, and of nothing else.
 * Hence it is the same after a restart, in a replayed cache and on every copy of the log. Bounded by number, size and age.
 */
export class OperationWindow {
  readonly #operations = new Map<string, Remembered>();
  /**
   * In the order of their positions, from `#oldest` on. An operation that is no longer in the map is skipped when its turn comes.
   * A map alone would not do: finding its first entry takes the longer, the more entries before it were removed.
   */
  #order: Remembered[] = [];
  #oldest = 0;
  #characters = 0;
  #forgotten = 0;

  /** Number of remembered operations. */
  get size(): number {
    return this.#operations.size;
  }

  /** Position of the last operation that was forgotten; 0: none. Every operation behind it is remembered. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Returns an operation that is not too old at `now`. */
  find(id: string, now: number): Operation | undefined {
    const operation = this.#operations.get(id);
    return operation !== undefined && operation.at >= now - OPERATION_MS ? operation : undefined;
  }

  /** Takes in the next update of the log, which has an operation id. */
  add(update: Update): void {
    const { operationId: id, position, at } = update;
    if (id === undefined) return;
    const known = this.#operations.get(id);
    // The updates of an operation follow each other in the log.
    if (known?.position === position - 1) this.#extend(known, update);
    else {
      if (known !== undefined) this.#delete(known);
      const started = { id, at, position, updates: 0, print: 0, key: null, number: null };
      const operation: Remembered = { ...started, versions: new Map(), characters: id.length };
      this.#put(operation);
      this.#extend(operation, update);
    }
    while (!this.#fits(at)) this.#forgetOldest();
  }

  #extend(operation: Remembered, update: Update): void {
    const { namespace, version, position, at, key, value } = update;
    const { versions } = operation;
    const characters =
      (key?.length ?? 0) - (operation.key?.length ?? 0) + (versions.has(namespace) ? 0 : namespace.length);
    operation.characters += characters;
    this.#characters += characters;
    operation.at = at;
    operation.position = position;
    operation.updates += 1;
    operation.print = update.commandHash ?? printOf(operation.print, update);
    operation.key = key;
    operation.number = typeof value === 'number' ? value : null;
    versions.set(namespace, version);
  }

  #fits(at: number): boolean {
    // The operation that goes on stays, even if it alone exceeds the bounds.
    if (this.#oldest === this.#order.length - 1) return true;
    const oldest = this.#order[this.#oldest] as Remembered;
    return oldest.at >= at - OPERATION_MS && this.size <= MAX_OPERATIONS && this.#characters <= MAX_CHARACTERS;
  }

  #forgetOldest(): void {
    const oldest = this.#order[this.#oldest] as Remembered;
    this.#oldest += 1;
    if (this.#oldest > MAX_OPERATIONS) {
      this.#order = this.#order.slice(this.#oldest);
      this.#oldest = 0;
    }
    if (this.#operations.get(oldest.id) !== oldest) return;
    this.#delete(oldest);
    this.#forgotten = oldest.position;
  }

  /** Forgets what was remembered: the operations up to this position are not followed one by one. */
  forget(position: number): void {
    this.#operations.clear();
    this.#order = [];
    this.#oldest = 0;
    this.#characters = 0;
    this.#forgotten = Math.max(this.#forgotten, position);
  }

  /** Returns the operations up to a position, to be stored; `undefined` if there has been none. */
  stored(until: number): StoredOperations | undefined {
    if (this.size === 0 && this.#forgotten === 0) return undefined;
    const operations: JsonValue[][] = [];
    for (const operation of this.#order.slice(this.#oldest)) {
      const { id, at, position, updates, print, key, number, versions } = operation;
      if (position > until) break;
      if (this.#operations.get(id) === operation)
        operations.push([id, at, position, updates, print, key, number, [...versions].flat()]);
    }
    return { forgotten: this.#forgotten, operations };
  }

  /** Takes in what {@link stored} has returned. The window is empty before. */
  restore(stored: StoredOperations | undefined): void {
    if (stored === undefined) return;
    this.#forgotten = stored.forgotten;
    for (const operation of stored.operations) this.#put(operationOf(operation));
  }

  #put(operation: Remembered): void {
    this.#operations.set(operation.id, operation);
    this.#order.push(operation);
    this.#characters += operation.characters;
  }

  #delete(operation: Remembered): void {
    this.#operations.delete(operation.id);
    this.#characters -= operation.characters;
  }
}

/**
 * Returns the acknowledgement of a request that repeats a remembered operation; `undefined` if the request must be decided.
 * Only what was applied is remembered, so a request that was refused, or that changed nothing, is decided again.
 *
 * @throws {OperationReusedError} if the operation did something else.
 */
function repeated(window: OperationWindow, request: Request): Acknowledgement | undefined {
  const { operationId, at } = request;
  // A part of a transaction: the whole was compared before.
  if (operationId === undefined || request.type === 'context.transaction') return undefined;
  const operation = window.find(operationId, at);
  if (operation === undefined) return undefined;
  const acknowledgement = answerOf(operation, request);
  if (!didTheSame(operation, request)) throw new OperationReusedError(operationId, acknowledgement);
  return acknowledgement;
}

/**
 * Returns the acknowledgement of an `update` that repeats a remembered operation, whatever value it would store now;
 * `undefined` if the update must be made.
 *
 * @throws {OperationReusedError} if the operation did not set this key.
 */
export function repeatedUpdate(
  window: OperationWindow,
  { operationId, namespace, key, at }: Pick<Request, 'operationId' | 'namespace' | 'key' | 'at'>,
): Acknowledgement | undefined {
  const operation = operationId === undefined ? undefined : window.find(operationId, at);
  if (operation === undefined) return undefined;
  const acknowledgement = acknowledgementOf(operation);
  const { versions, updates } = operation;
  if (versions.size === 1 && versions.has(namespace) && updates === 1 && operation.key === key) return acknowledgement;
  throw new OperationReusedError(operation.id, acknowledgement);
}

/**
 * Returns the answer to a transaction that repeats a remembered operation; `undefined` if it must be decided.
 *
 * @throws {OperationReusedError} if the operation did something else.
 */
export function repeatedTransaction(window: OperationWindow, parts: readonly Request[]): TransactionResult | undefined {
  const [{ operationId, at } = {}] = parts as [Request?];
  const operation = operationId === undefined ? undefined : window.find(operationId, at as number);
  if (operation === undefined) return undefined;
  const { position, versions, updates, print, key } = operation;
  const steps = parts.flatMap(({ namespace, steps }) =>
    (steps ?? [])
      .filter(({ isCheck }) => isCheck !== true)
      .map((step) => ({ ...partOf(step), namespace, drop: false })),
  );
  const names = new Set(parts.map(({ namespace }) => namespace));
  const isOfParts = [...versions.keys()].every((name) => names.has(name));
  const isSame =
    updates < steps.length
      ? steps.some((step) => step.key === key && step.namespace === [...versions.keys()].at(-1))
      : print === steps.reduce(printOf, 0);
  if (!isOfParts || !isSame) throw new OperationReusedError(operation.id, acknowledgementOf(operation));
  return {
    position,
    changed: true,
    namespaces: Array.from(versions, ([namespace, version]) => ({ namespace, version })),
  };
}

/** Settles a request that repeats a remembered operation, or that wrongly uses its id. Returns whether it does. */
export function settledAsRepeated(window: OperationWindow, request: Request): boolean {
  try {
    const acknowledgement = repeated(window, request);
    if (acknowledgement === undefined) return false;
    request.succeed(acknowledgement);
  } catch (error) {
    request.fail(toError(error));
  }
  return true;
}

/** Adds what the caller of an `increment` or an `append` does not know. */
function answerOf(operation: Operation, { type }: Request): Acknowledgement {
  const acknowledgement = acknowledgementOf(operation);
  if (type === 'context.increment') return { ...acknowledgement, value: operation.number } as Incremented;
  return type === 'context.append' ? ({ ...acknowledgement, key: operation.key } as Appended) : acknowledgement;
}

function acknowledgementOf({ position, versions }: Operation): Acknowledgement {
  return { version: [...versions.values()].at(-1) ?? 0, position, changed: true };
}

/** Compares the command, or operations, namespace, keys and values. Steps of a batch that changed nothing left no trace to compare. */
function didTheSame({ updates, print, key, versions }: Operation, request: Request): boolean {
  const { namespace, steps } = request;
  if (versions.size !== 1 || !versions.has(namespace)) return false;
  const asked = commandHashOf(request);
  if (asked !== undefined) return print === asked;
  if (request.type === 'context.clear' || request.type === 'context.drop') {
    const drop = request.type === 'context.drop';
    return print === printOf(0, { operation: 'clear_namespace', namespace, key: null, value: null, drop });
  }
  const all = steps ?? [request];
  if (updates < all.length) return all.some((step) => step.key === key);
  return print === all.reduce((sum, step) => printOf(sum, { ...partOf(step), namespace, drop: false }), 0);
}

/**
 * Returns the hash of a command whose updates do not tell what was asked for: namespace, key or prefix, and the value or the
 * number to add. `undefined` for any other command.
 */
export function commandHashOf({ type, namespace, key, value }: Request): number | undefined {
  const isHidden =
    type === 'context.increment' || type === 'context.append' || (type === 'context.clear' && key !== '');
  return isHidden ? hashOf([type, namespace, key, value]) : undefined;
}

function partOf({ operation, key, value }: Pick<Update, 'operation' | 'key' | 'value'>) {
  return { operation, key, value: operation === 'set' ? value : null };
}

/** Returns the checksum of what was done so far, and of one more update. */
function printOf(
  before: number,
  { operation, namespace, key, value, drop }: Pick<Update, 'operation' | 'namespace' | 'key' | 'value' | 'drop'>,
): number {
  return hashOf([before, operation, namespace, key, value, drop]);
}

function hashOf(parts: JsonValue): number {
  return Number.parseInt(hash('sha256', encode(parts)).slice(0, 12), 16);
}

function operationOf(stored: readonly JsonValue[]): Remembered {
  const [id, at, position, updates, print, key, number, flat] = stored as [
    ...[string, number, number, number, number, string | null, number | null],
    (string | number)[],
  ];
  const versions = new Map<string, number>();
  let characters = id.length + (key?.length ?? 0);
  for (let i = 0; i < flat.length; i += 2) {
    const namespace = flat[i] as string;
    versions.set(namespace, flat[i + 1] as number);
    characters += namespace.length;
  }
  return { id, at, position, updates, print, key, number, versions, characters };
}
