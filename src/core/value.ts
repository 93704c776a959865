import { InvalidValueError } from './errors.ts';

/** A JSON value, as the cache stores it. Every language can read it and every codec keeps it. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Bounds of a value. */
export interface ValueLimits {
  /** Largest depth of nested arrays and objects. Default 256. */
  readonly maxDepth: number;
  /** Largest size of a value: estimated bytes as JSON text. Default 16 MiB. */
  readonly maxBytes: number;
}

/** The default limits. */
export const DEFAULT_VALUE_LIMITS: ValueLimits = { maxDepth: 256, maxBytes: 16 * 1024 * 1024 };

/** Result of {@link admit}: a deeply frozen copy of the caller's value, and its size. */
export interface Admitted {
  readonly value: JsonValue;
  /** Estimated bytes as JSON text: exact for ASCII without escapes. */
  readonly bytes: number;
}

/**
 * Checks, copies, freezes and measures a value in one walk. The caller's object is neither kept nor frozen, so an agent
 * may change its plan after storing it; all readers share the copy. A property that is `undefined` counts as absent; `-0`
 * becomes `0`, as in JSON text.
 *
 * @throws {InvalidValueError} for anything that is not a JSON value (NaN, BigInt, Date, function, symbol, class
 *   instance, cycle, lone surrogate), is nested too deep or is too large; it names the path inside the value.
 *
 * @example
 * ```ts
 * admit({ name: 'Ada', nick: undefined }).value; // { name: 'Ada' }, frozen
 * ```
 */
export function admit(value: unknown, limits: ValueLimits = DEFAULT_VALUE_LIMITS): Admitted {
  const door = new ValueDoor(limits);
  return { value: door.admit(value), bytes: door.bytes };
}

/** Result of the quick walk if the value needs the thorough one. */
export const UNUSUAL = Symbol('unusual');

const NOTHING = {};

const LONG_ARRAY = 1024;

/** The door that values come in by, one after another. A subclass says what becomes of arrays and objects. */
export abstract class Door {
  /** Estimated bytes of the last admitted value. */
  bytes = 0;
  protected readonly limits: ValueLimits;
  protected weight = 0;

  constructor(limits: ValueLimits = DEFAULT_VALUE_LIMITS) {
    this.limits = limits;
  }

  /** @throws {InvalidValueError} */
  admit(value: unknown): JsonValue {
    // A getter in the value may call this method again.
    const outer = this.weight;
    this.weight = 0;
    const admitted = this.#tryQuickly(value);
    this.bytes = this.weight;
    this.weight = outer;
    return admitted === UNUSUAL || this.bytes > this.limits.maxBytes ? this.#admitThoroughly(value) : admitted;
  }

  /** Keeps the path, so that an error can name it. Takes 1.5 times as long. */
  #admitThoroughly(value: unknown): JsonValue {
    const walk = new ThoroughWalk(this.limits);
    const copy = walk.run(value);
    this.bytes = walk.bytes;
    return copy;
  }

  #tryQuickly(value: unknown): JsonValue | typeof UNUSUAL {
    // `for in` also yields properties that a program has added to every object.
    for (const _ in NOTHING) return UNUSUAL;
    try {
      return this.visit(value, 0);
    } catch {
      return UNUSUAL;
    }
  }

  protected visit(value: unknown, depth: number): JsonValue | typeof UNUSUAL {
    switch (typeof value) {
      case 'string':
        this.weight += value.length + 2;
        return value.isWellFormed() ? value : UNUSUAL;
      case 'number':
        this.weight += 8;
        if (!Number.isFinite(value)) return UNUSUAL;
        return value === 0 ? 0 : value;
      case 'boolean':
        this.weight += 5;
        return value;
      case 'object':
        if (value !== null) {
          if (depth >= this.limits.maxDepth || this.weight > this.limits.maxBytes) return UNUSUAL;
          return Array.isArray(value) ? this.visitArray(value, depth + 1) : this.visitObject(value, depth + 1);
        }
        this.weight += 4;
        return null;
      default:
        return UNUSUAL;
    }
  }

  protected abstract visitArray(array: unknown[], depth: number): JsonValue | typeof UNUSUAL;
  protected abstract visitObject(object: object, depth: number): JsonValue | typeof UNUSUAL;
}

/** Does the same as {@link admit} for frequent callers: allocates nothing but the copy. */
export class ValueDoor extends Door {
  protected override visitArray(array: unknown[], depth: number): JsonValue | typeof UNUSUAL {
    if (Object.getPrototypeOf(array) !== Array.prototype) return UNUSUAL;
    this.weight += 2 + array.length;
    if (this.weight > this.limits.maxBytes) return UNUSUAL;
    // A slice takes half the memory of a growing array. A long array may be mostly holes, which must not be copied.
    const copy = (array.length > LONG_ARRAY ? [] : array.slice()) as JsonValue[];
    for (let i = 0; i < array.length; i += 1) {
      const inner = this.visit(i < copy.length ? copy[i] : array[i], depth);
      if (inner === UNUSUAL) return UNUSUAL;
      if (!Object.is(inner, copy[i])) copy[i] = inner;
    }
    return Object.freeze(copy);
  }

  protected override visitObject(object: object, depth: number): JsonValue | typeof UNUSUAL {
    const prototype = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null) return UNUSUAL;
    const copy: { [name: string]: JsonValue } = {};
    let weight = 2;
    for (const name in object) {
      const value = (object as Record<string, unknown>)[name];
      if (value === undefined) continue;
      if (name === '__proto__' || !name.isWellFormed()) return UNUSUAL;
      weight += name.length + 4;
      const inner = this.visit(value, depth);
      if (inner === UNUSUAL) return UNUSUAL;
      copy[name] = inner;
    }
    this.weight += weight;
    return Object.freeze(copy);
  }
}

/** The thorough walk: explains what is wrong and handles rare values. The quick walk gives the same results. */
export class ThoroughWalk {
  bytes = 0;
  readonly #limits: ValueLimits;
  /** Names and indexes from the root to the visited value. */
  readonly #path: (string | number)[] = [];
  /** Objects from the root to the visited value. Meeting one again is a cycle. */
  readonly #open: object[] = [];

  constructor(limits: ValueLimits) {
    this.#limits = limits;
  }

  /** Runs code of the caller, such as a getter or a proxy, which may throw. */
  run(value: unknown): JsonValue {
    try {
      return this.visit(value, 0);
    } catch (error) {
      if (error instanceof InvalidValueError) throw error;
      return this.#refuse('cannot be read', 'A getter or a proxy in it threw. Store plain data.');
    }
  }

  visit(value: unknown, depth: number): JsonValue {
    switch (typeof value) {
      case 'string':
        if (!value.isWellFormed()) this.#refuse('has a lone surrogate', 'Use String.prototype.toWellFormed().');
        this.#weigh(value.length + 2);
        return value;
      case 'number':
        if (!Number.isFinite(value)) this.#refuse(`is ${value}`, 'Use a finite number, null or a string.');
        this.#weigh(8);
        return value === 0 ? 0 : value;
      case 'boolean':
        this.#weigh(5);
        return value;
      case 'object':
        if (value === null) {
          this.#weigh(4);
          return null;
        }
        return this.#visitObject(value, depth + 1);
      default:
        return this.#refuse(
          `is of type ${typeof value}`,
          'Store a JSON value: null, boolean, number, string, array or plain object.',
        );
    }
  }

  #visitObject(value: object, depth: number): JsonValue {
    if (depth > this.#limits.maxDepth) {
      this.#refuse(`is nested deeper than ${this.#limits.maxDepth} levels`, 'Flatten it, or raise limits.maxDepth.');
    }
    if (this.#open.includes(value)) this.#refuse('contains itself', 'Remove the cycle.');
    this.#open.push(value);
    this.#weigh(2);
    const copy = Array.isArray(value) ? this.#copyArray(value, depth) : this.#copyPlain(value, depth);
    this.#open.pop();
    return Object.freeze(copy);
  }

  #copyArray(array: readonly unknown[], depth: number): JsonValue[] {
    const copy: JsonValue[] = [];
    for (let i = 0; i < array.length; i += 1) {
      this.#path.push(i);
      this.#weigh(1);
      copy.push(this.visit(array[i], depth));
      this.#path.pop();
    }
    return copy;
  }

  #copyPlain(object: object, depth: number): { [name: string]: JsonValue } {
    const prototype = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null) {
      // A plain object of another realm (a vm context, a worker's structured clone) has another Object.prototype.
      const foreign = Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty');
      if (!foreign) {
        const name = prototype.constructor?.name || 'class';
        this.#refuse(`is a ${name} instance`, 'Store plain data: convert it before (for a Date, toISOString()).');
      }
    }
    const copy: { [name: string]: JsonValue } = {};
    for (const name of Object.keys(object)) {
      this.#path.push(name);
      const inner = (object as Record<string, unknown>)[name];
      if (inner === undefined) {
        this.#path.pop();
        continue;
      }
      if (!name.isWellFormed())
        this.#refuse('has a name with a lone surrogate', 'Use String.prototype.toWellFormed().');
      this.#weigh(name.length + 4);
      setOwn(copy, name, this.visit(inner, depth));
      this.#path.pop();
    }
    return copy;
  }

  #weigh(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > this.#limits.maxBytes) {
      this.#refuse(
        `makes the whole larger than ${this.#limits.maxBytes} bytes`,
        'Store a reference to it, or raise limits.maxBytes.',
      );
    }
  }

  #refuse(problem: string, remedy: string): never {
    let path = '$';
    for (const step of this.#path) {
      const plain = typeof step === 'string' && /^[A-Za-z_$][\w$]*$/.test(step);
      path += typeof step === 'number' ? `[${step}]` : plain ? `.${step}` : `[${JSON.stringify(step)}]`;
    }
    throw new InvalidValueError(path, problem, remedy);
  }
}

/** Assignment to `__proto__` would change the prototype instead of making a property. */
export function setOwn(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[name] = value;
  }
}
