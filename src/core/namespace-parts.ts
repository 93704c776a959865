import { ContextCacheError } from './errors.ts';

/** A namespace as parts: `['store', 'user', id]` stands for the name `store/user/…/`. See {@link joinNamespace}. */
export type NamespaceParts = readonly string[];

/** A namespace as an argument: its name, or its parts. */
export type NamespaceName = string | NamespaceParts;

/** The type of a joined name, as exact as the types of its parts are. */
export type JoinedNamespace<Parts extends NamespaceParts> = Parts extends readonly []
  ? ''
  : Parts extends readonly [infer First extends string, ...infer Rest extends NamespaceParts]
    ? `${EncodedPart<First>}/${JoinedNamespace<Rest>}`
    : string;

type EncodedPart<Part extends string> = string extends Part
  ? string
  : Part extends `${string}/${string}` | `${string}%${string}`
    ? string
    : Part;

/**
 * Returns the name of a namespace that is given in parts. Each part is followed by `/`; a `/` or `%` in a part becomes
 * `%2F` or `%25`. The name of `['store', 'user']` is therefore a prefix of the names of `['store', 'user', 'ann']` and of
 * all others that start with these parts, and of no other joined name: not of that of `['store', 'users']`.
 *
 * Takes any strings, also empty ones. No parts at all give the empty text, which is the prefix of every name and not a
 * name itself.
 *
 * @throws {ContextCacheError} `INVALID_NAME` if the parts are not an array of well-formed strings.
 *
 * @example
 * ```ts
 * joinNamespace(['store', 'user', 'ann']); // 'store/user/ann/'
 * splitNamespace('store/user/ann/'); // ['store', 'user', 'ann']
 * cache.listNamespaces({ prefix: ['store', 'user'], limit: 10 });
 * ```
 */
export function joinNamespace<const Parts extends NamespaceParts>(parts: Parts): JoinedNamespace<Parts>;
export function joinNamespace(parts: NamespaceParts): string {
  if (!Array.isArray(parts)) throw invalid('The parts of a namespace must be an array of strings.');
  let name = '';
  // Not `map`, which would leave the holes of a sparse array unseen.
  for (let index = 0; index < parts.length; index += 1) name += `${encodedPart(parts[index], index)}/`;
  return name;
}

/**
 * Returns the parts of a name that {@link joinNamespace} returned; `undefined` for any other name.
 */
export function splitNamespace(name: string): string[] | undefined {
  if (typeof name !== 'string' || !name.isWellFormed())
    throw invalid('The name of a namespace must be a well-formed string.');
  if (name === '') return [];
  if (!name.endsWith('/') || /%(?!25|2F)/.test(name)) return undefined;
  return name
    .slice(0, -1)
    .split('/')
    .map((part) => part.replace(/%25|%2F/g, (code) => (code === '%25' ? '%' : '/')));
}

/**
 * Returns the name of a namespace: a text as it is and unchecked, parts joined.
 *
 * @throws {ContextCacheError} `INVALID_NAME` for parts that cannot be joined.
 */
export function nameOf(namespace: NamespaceName): string {
  return Array.isArray(namespace) ? joinNamespace(namespace) : (namespace as string);
}

/**
 * Does the same for a call that rejects and does not throw: returns invalid parts unchanged, which `checkName` refuses
 * later.
 */
export function writtenName(namespace: NamespaceName): string {
  if (typeof namespace === 'string') return namespace;
  try {
    return nameOf(namespace);
  } catch {
    return namespace as unknown as string;
  }
}

function encodedPart(part: unknown, index: number): string {
  if (typeof part === 'string' && part.isWellFormed()) {
    return part.replace(/[%/]/g, (character) => (character === '%' ? '%25' : '%2F'));
  }
  const problem = typeof part === 'string' ? 'has a lone surrogate' : `is ${part === null ? 'null' : typeof part}`;
  throw invalid(`Each part of a namespace must be a string of well-formed Unicode; part ${index} ${problem}.`);
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_NAME', problem);
}
