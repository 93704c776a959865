import { ContextCacheError } from './errors.ts';
import { checkName, DEFAULT_NAMESPACE } from './names.ts';
import type { JsonValue } from './value.ts';

/** An entry that a writer had read. */
export interface ReadEntry {
  /** Default: `default`. */
  readonly namespace?: string | undefined;
  readonly key: string;
  /** Version of the entry that was read; 0: the key was missing. */
  readonly version: number;
}

/** Entries of a namespace of which a writer had read some, and it is no longer known which. */
export interface ReadRange {
  /** Default: `default`. */
  readonly namespace?: string | undefined;
  /** Start of their keys. Default: every key. */
  readonly prefix?: string | undefined;
  /** Lowest version of the entries that were read. */
  readonly from: number;
  /** Highest version of the entries that were read. */
  readonly to: number;
}

/** Everything up to a position: it is no longer known which of it a writer had read. */
export interface ReadUntil {
  readonly position: number;
}

/** A part of what a writer had read. */
export type Reading = ReadEntry | ReadRange | ReadUntil;

/** What a writer had read when it wrote. Empty: nothing. */
export type Basis = readonly Reading[];

/** Largest number of readings in a basis. */
export const MAX_READINGS = 256;

/** Largest size of a basis, in characters of its namespaces, keys and prefixes. */
export const MAX_BASIS_CHARACTERS = 64 * 1024;

/**
 * Checks a basis and returns a frozen copy, with the namespace of each reading.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`, `INVALID_NAME`.
 */
export function admitBasis(basis: unknown): Basis {
  if (!Array.isArray(basis)) throw invalid('basis must be an array of readings such as { namespace, key, version }');
  if (basis.length > MAX_READINGS) {
    throw invalid(`basis may have at most ${MAX_READINGS} readings. Join some as { namespace, prefix, from, to }`);
  }
  // Not `map`, which would leave the holes of a sparse array unseen.
  const readings = Array.from(basis, admitReading);
  const characters = readings.reduce((sum, reading) => sum + charactersOf(reading), 0);
  if (characters > MAX_BASIS_CHARACTERS) {
    const problem = `basis may have at most ${MAX_BASIS_CHARACTERS} characters of namespaces and keys`;
    throw invalid(`${problem}. Join some readings as { namespace, prefix, from, to }`);
  }
  return Object.freeze(readings);
}

/** Returns the characters that a reading counts with in {@link MAX_BASIS_CHARACTERS}. */
export function charactersOf(reading: Reading): number {
  if ('position' in reading) return 0;
  const { namespace = DEFAULT_NAMESPACE } = reading;
  return namespace.length + ('key' in reading ? reading.key.length : (reading.prefix?.length ?? 0));
}

function admitReading(candidate: unknown, index: number): Reading {
  const name = `basis[${index}]`;
  if (typeof candidate !== 'object' || candidate === null) throw invalid(`${name} must be an object`);
  const {
    namespace = DEFAULT_NAMESPACE,
    key,
    version,
    prefix,
    from,
    to,
    position,
  } = candidate as {
    readonly [field: string]: unknown;
  };
  const given = new Set(
    Object.keys(candidate).filter((field) => candidate[field as keyof typeof candidate] !== undefined),
  );
  const isOf = (...fields: string[]) => [...given].every((field) => fields.includes(field));
  if (given.has('position')) {
    if (!isOf('position')) throw invalid(`${name} has a position, and takes nothing else then`);
    return Object.freeze({ position: count(position, `${name}.position`) });
  }
  checkName('namespace', namespace);
  if (given.has('key')) {
    if (!isOf('namespace', 'key', 'version')) throw invalid(`${name} takes namespace, key and version`);
    checkName('key', key);
    return Object.freeze({ namespace, key, version: count(version, `${name}.version`) });
  }
  if (!isOf('namespace', 'prefix', 'from', 'to')) {
    throw invalid(`${name} takes namespace, key and version; or namespace, prefix, from and to; or a position`);
  }
  if (prefix !== undefined) checkName('key', prefix);
  const range = { namespace, prefix: prefix ?? '', from: count(from, `${name}.from`), to: count(to, `${name}.to`) };
  if (range.from > range.to) throw invalid(`${name}.from must not be greater than its to`);
  return Object.freeze(range);
}

function count(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`${name} must be an integer from 0 up`);
}

/** Returns an admitted basis as it is stored: `[namespace, key, version]`, `[namespace, prefix, from, to]` or `[position]` each. */
export function storedBasis(basis: Basis): JsonValue {
  return basis.map((reading) => {
    if ('position' in reading) return [reading.position];
    const { namespace = DEFAULT_NAMESPACE } = reading;
    if ('key' in reading) return [namespace, reading.key, reading.version];
    return [namespace, reading.prefix ?? '', reading.from, reading.to];
  });
}

/**
 * Returns the basis that {@link storedBasis} has made.
 *
 * @throws {RangeError} if the value has another form.
 */
export function basisOf(stored: unknown): Basis {
  if (!Array.isArray(stored)) throw malformed();
  return Object.freeze(stored.map(readingOf));
}

function readingOf(stored: unknown): Reading {
  if (!Array.isArray(stored)) throw malformed();
  const [namespace, text, from, to] = stored as unknown[];
  if (stored.length === 1 && typeof namespace === 'number') return Object.freeze({ position: namespace });
  if (typeof namespace !== 'string' || typeof text !== 'string' || typeof from !== 'number') throw malformed();
  if (stored.length === 3) return Object.freeze({ namespace, key: text, version: from });
  if (stored.length !== 4 || typeof to !== 'number') throw malformed();
  return Object.freeze({ namespace, prefix: text, from, to });
}

function malformed(): RangeError {
  return new RangeError('A basis has an unexpected form');
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_COMMAND', `${problem[0]?.toUpperCase()}${problem.slice(1)}.`);
}
