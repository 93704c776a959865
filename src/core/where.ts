import { isEqual } from './equal.ts';
import { ContextCacheError, InvalidValueError } from './errors.ts';
import { isPointer, pointerSteps, stepInto } from './json-pointer.ts';
import { compareNames } from './names.ts';
import { admit, type JsonValue } from './value.ts';

/**
 * Conditions on a part of a value, which must all hold. The comparisons in order take a number or a text. A number is
 * compared with what `Number` makes of the part, so text such as `'10'` counts, and `null` is 0; an array or an object is never
 * above or below. A text is compared with text alone, in order of code point.
 */
export interface Comparison {
  /** Equal to this, whatever the order of properties. */
  readonly eq?: JsonValue | undefined;
  /** Not equal to this, or missing. */
  readonly ne?: JsonValue | undefined;
  /** Equal to one of these, at most 1,000. */
  readonly in?: readonly JsonValue[] | undefined;
  /** Equal to none of these, at most 1,000, or missing. */
  readonly nin?: readonly JsonValue[] | undefined;
  /** Above this. */
  readonly gt?: number | string | undefined;
  /** Above or equal to this. */
  readonly gte?: number | string | undefined;
  /** Below this. */
  readonly lt?: number | string | undefined;
  /** Below or equal to this. */
  readonly lte?: number | string | undefined;
  /** `true`: the part is there. `false`: it is missing. */
  readonly exists?: boolean | undefined;
}

/**
 * A test of values, as plain data: JSON pointers, and what the parts that they lead to must be. A text, a number, a boolean or
 * `null` means equal; anything else is a {@link Comparison}. All must hold.
 *
 * @example
 * ```ts
 * const where: Where = { '/city': 'Oslo', '/stars': { gte: 4 }, '/address/street': { exists: true } };
 * ```
 */
export type Where = { readonly [pointer: string]: string | number | boolean | null | Comparison };

/** Tests a value. */
export type ValueTest = (value: JsonValue) => boolean;

/** Tests a part of a value; `undefined`: it is missing. */
type PartTest = (part: JsonValue | undefined) => boolean;

/** Most pointers of a filter. */
const MAX_POINTERS = 64;
/** Most items of `in` and `nin`. */
const MAX_ITEMS = 1_000;

type Order = (sign: number) => boolean;

const ORDERS: { readonly [Name in 'gt' | 'gte' | 'lt' | 'lte']: Order } = {
  gt: (sign) => sign > 0,
  gte: (sign) => sign >= 0,
  lt: (sign) => sign < 0,
  lte: (sign) => sign <= 0,
};

const COMPARISONS: { readonly [Name in keyof Comparison]-?: (wanted: unknown) => PartTest | undefined } = {
  eq: (wanted) => (part) => part !== undefined && isEqual(part, wanted),
  ne: (wanted) => (part) => part === undefined || !isEqual(part, wanted),
  in: oneOf,
  nin: (wanted) => {
    const isOne = oneOf(wanted);
    return isOne && ((part) => !isOne(part));
  },
  gt: (wanted) => inOrder(wanted, ORDERS.gt),
  gte: (wanted) => inOrder(wanted, ORDERS.gte),
  lt: (wanted) => inOrder(wanted, ORDERS.lt),
  lte: (wanted) => inOrder(wanted, ORDERS.lte),
  exists: (wanted) => (typeof wanted === 'boolean' ? (part) => (part !== undefined) === wanted : undefined),
};

const TAKES: { readonly [Name in keyof Comparison]-?: string } = {
  ...{ eq: 'a JSON value', ne: 'a JSON value', exists: 'true or false' },
  ...{ in: `an array of at most ${MAX_ITEMS} items`, nin: `an array of at most ${MAX_ITEMS} items` },
  ...{ gt: 'a number or a text', gte: 'a number or a text', lt: 'a number or a text', lte: 'a number or a text' },
};

/**
 * Returns a function that tests values; `undefined` if every value passes.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` that names the pointer.
 */
export function testOf(where: Where | undefined): ValueTest | undefined {
  if (where === undefined) return undefined;
  if (!isPlain(where)) throw invalid("must be an object of JSON pointers, such as { '/city': 'Oslo' }");
  const pointers = Object.keys(where).filter((pointer) => where[pointer] !== undefined);
  if (pointers.length > MAX_POINTERS) throw invalid(`may have at most ${MAX_POINTERS} pointers`);
  const tests = pointers.map((pointer) => testAt(pointer, where[pointer]));
  if (tests.length <= 1) return tests[0];
  return (value) => tests.every((test) => test(value));
}

function testAt(pointer: string, condition: unknown): ValueTest {
  if (!isPointer(pointer))
    throw invalid(`${JSON.stringify(pointer)} is no JSON pointer. Write '/address/city', or '' for the whole value`);
  const steps = pointerSteps(pointer);
  const test = partTest(pointer, condition);
  const [only] = steps;
  if (only !== undefined && steps.length === 1 && !(only in Object.prototype))
    return (value) =>
      test(typeof value === 'object' && !Array.isArray(value) ? memberOf(value, only) : stepInto(value, only));
  return (value) => test(steps.reduce<JsonValue | undefined>(stepInto, value));
}

/** Returns a member whose name no object inherits, without asking whether it is the object's own: half the time of a test. */
function memberOf(value: object | null, name: string): JsonValue | undefined {
  return value === null ? undefined : (value as { readonly [name: string]: JsonValue })[name];
}

function partTest(pointer: string, condition: unknown): PartTest {
  if (condition === null || ['string', 'number', 'boolean'].includes(typeof condition))
    return (part) => part === condition;
  if (!isPlain(condition))
    throw invalid(
      `${JSON.stringify(pointer)} needs a text, a number, a boolean, null or a comparison such as { gte: 4 }`,
    );
  const tests = Object.entries(condition)
    .filter(([, wanted]) => wanted !== undefined)
    .map(([name, wanted]) => {
      if (!Object.hasOwn(COMPARISONS, name))
        throw invalid(
          `${JSON.stringify(pointer)} has no comparison ${JSON.stringify(name)}. There are ${Object.keys(COMPARISONS).join(', ')}`,
        );
      const test = COMPARISONS[name as keyof Comparison](name in ORDERS ? wanted : admitted(pointer, name, wanted));
      if (test === undefined)
        throw invalid(`${JSON.stringify(pointer)}: ${name} takes ${TAKES[name as keyof Comparison]}`);
      return test;
    });
  const [only] = tests;
  if (only !== undefined && tests.length === 1) return only;
  return (part) => tests.every((test) => test(part));
}

/** Returns the copy of a part of a filter. */
function admitted(pointer: string, name: string, wanted: unknown): JsonValue {
  try {
    return admit(wanted).value;
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error;
    throw invalid(`${JSON.stringify(pointer)}: ${name} takes plain data. ${error.message.replace(/\.$/, '')}`);
  }
}

/** Returns whether something is an object without a class of its own. That of another realm has another `Object.prototype`. */
function isPlain(candidate: unknown): candidate is object {
  if (typeof candidate !== 'object' || candidate === null || Array.isArray(candidate)) return false;
  const prototype = Object.getPrototypeOf(candidate);
  if (prototype === null || prototype === Object.prototype) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty');
}

/** Returns a test for equality with one of some items; `undefined` if these are no array, or too many. */
function oneOf(wanted: unknown): PartTest | undefined {
  if (!Array.isArray(wanted) || wanted.length > MAX_ITEMS) return undefined;
  const isObject = (item: unknown) => typeof item === 'object' && item !== null;
  const scalars = new Set<unknown>(wanted.filter((item) => !isObject(item)));
  const objects = wanted.filter(isObject);
  return (part) => scalars.has(part) || (isObject(part) && objects.some((each) => isEqual(part, each)));
}

/** Returns a test in order of numbers or texts; `undefined` if `wanted` is neither. */
function inOrder(wanted: unknown, holds: Order): PartTest | undefined {
  if (typeof wanted === 'string') return (part) => typeof part === 'string' && holds(compareNames(part, wanted));
  if (typeof wanted !== 'number' || Number.isNaN(wanted)) return undefined;
  return (part) => {
    if (part === undefined || (typeof part === 'object' && part !== null)) return false;
    const number = Number(part);
    return !Number.isNaN(number) && holds(number === wanted ? 0 : number - wanted);
  };
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `search: where ${problem}.`);
}
