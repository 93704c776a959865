import { ContextCacheError } from './errors.ts';
import { compareNames } from './names.ts';
import { joinNamespace, type NamespaceParts } from './namespace-parts.ts';
import { kindOf, optionNames } from './options.ts';
import type { NameRange } from './tables/name-order.ts';

/**
 * Which names a read in order returns: all that meet every condition given. The order is that of Unicode code points,
 * which is also the order of UTF-8 bytes.
 */
export interface RangeOptions {
  /** Only names that start with this text. Default: all. */
  readonly prefix?: string | undefined;
  /** Only this name and those after it in the order. Default: from the first. */
  readonly from?: string | undefined;
  /** Only this name and those before it in the order. Default: to the last. */
  readonly to?: string | undefined;
  /** Only names that follow this one in the direction of reading: the last name of the previous page. Default: none. */
  readonly after?: string | undefined;
  /** Read from the last name to the first. Default false. */
  readonly reverse?: boolean | undefined;
  /** Most names to return, an integer from 0. Default: all. */
  readonly limit?: number | undefined;
}

/** Which namespaces `listNamespaces` returns. */
export interface NamespaceRangeOptions extends Omit<RangeOptions, 'prefix'> {
  /** Only namespaces whose name starts with this text, or that start with these parts. Default: all. */
  readonly prefix?: string | NamespaceParts | undefined;
}

const NAMES = { prefix: true, from: true, to: true, after: true, reverse: true, limit: true } as const;

/** The names of {@link RangeOptions}. */
export const RANGE_NAMES: readonly (keyof RangeOptions)[] = Object.keys(NAMES) as (keyof RangeOptions)[];

const OPTIONS = {
  keys: optionNames<RangeOptions>('keys', NAMES),
  entries: optionNames<RangeOptions>('entries', NAMES),
  listKeys: optionNames<RangeOptions>('listKeys', NAMES),
  listNamespaces: optionNames<NamespaceRangeOptions>('listNamespaces', NAMES),
};

/** A range of names, at most `limit` of them. */
export interface Range extends NameRange {
  readonly limit: number;
}

/**
 * Checks the options of a read in order.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function rangeOf(method: keyof typeof OPTIONS, options: NamespaceRangeOptions = {}): Range {
  OPTIONS[method].check(options);
  const { reverse = false, limit = Number.POSITIVE_INFINITY } = options;
  if (typeof reverse !== 'boolean') throw invalid(method, 'reverse must be true or false');
  if (limit !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(limit) || limit < 0))
    throw invalid(method, 'limit must be an integer from 0 up');
  const prefix = textOf(method, 'prefix', prefixOf(method, options.prefix));
  const from = textOf(method, 'from', options.from);
  const to = textOf(method, 'to', options.to);
  const after = textOf(method, 'after', options.after);
  const lows = [prefix, from, reverse || after === undefined ? undefined : next(after)];
  const highs = [
    prefix === undefined ? undefined : endOfPrefix(prefix),
    to === undefined ? undefined : next(to),
    reverse ? after : undefined,
  ];
  return { low: greatest(lows), high: least(highs), reverse, limit };
}

/**
 * Returns the options that are given, with a prefix in parts joined, as plain data.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function plainRange(method: keyof typeof OPTIONS, options: NamespaceRangeOptions | undefined): RangeOptions {
  rangeOf(method, options);
  const given = RANGE_NAMES.filter((name) => options?.[name] !== undefined);
  return Object.fromEntries(
    given.map((name) => [name, name === 'prefix' ? prefixOf(method, options?.prefix) : options?.[name]]),
  );
}

function prefixOf(method: keyof typeof OPTIONS, prefix: unknown): unknown {
  return Array.isArray(prefix) && method === 'listNamespaces' ? joinNamespace(prefix) : prefix;
}

function textOf(method: string, option: string, text: unknown): string | undefined {
  if (text === undefined || (typeof text === 'string' && text.isWellFormed())) return text;
  const problem = typeof text === 'string' ? 'this one has a lone surrogate' : `not ${kindOf(text)}`;
  throw invalid(method, `${option} must be a string of well-formed Unicode; ${problem}`);
}

/** Returns the name that directly follows another one. */
export function next(name: string): string {
  return `${name}\0`;
}

/** Returns the first text that follows every text with this prefix; `undefined` if no text follows them. */
function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue;
    // The next code point that is not a surrogate.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
  }
  return undefined;
}

function greatest(names: readonly (string | undefined)[]): string {
  return names.reduce<string>((a, b) => (b !== undefined && compareNames(b, a) > 0 ? b : a), '');
}

function least(names: readonly (string | undefined)[]): string | undefined {
  return names.reduce((a, b) => (a === undefined || (b !== undefined && compareNames(b, a) < 0) ? b : a), undefined);
}

function invalid(method: string, problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${method}: ${problem}.`);
}
