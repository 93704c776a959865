import { isCursorOf } from './briefing.ts';
import { ContextCacheError } from './errors.ts';
import { NamePattern } from './name-pattern.ts';
import { optionNames } from './options.ts';
import { isAgent, LONGEST_AGENT } from './origin.ts';
import { BRIEFINGS } from './own-namespaces.ts';

/** Namespaces by a pattern such as `trip/**`: all their keys, or those that one of the patterns in `keys` matches. */
export type GrantSelection = string | { readonly namespace: string; readonly keys: string | readonly string[] };

/**
 * What an agent may read and write. Rights add up: those of an agent are those of its own grant and those of the grant for `*`.
 *
 * @example
 * ```ts
 * const grants: Grant[] = [
 *   { agent: 'planner', read: ['trip/**'], write: ['trip/plan/**', { namespace: 'trip', keys: ['plan', 'day:*'] }] },
 *   { agent: 'operator', admin: true },
 *   { agent: '*', read: ['notices'] },
 * ];
 * ```
 */
export interface Grant {
  /** Name of the agent, 1 to 1,024 characters. `*` stands for every agent. Each is named once. */
  readonly agent: string;
  /** What it may read. At most 1,000 selections. Default: nothing. */
  readonly read?: readonly GrantSelection[] | undefined;
  /** What it may write. Does not include the right to read. At most 1,000 selections. Default: nothing. */
  readonly write?: readonly GrantSelection[] | undefined;
  /** Reads and writes everything, and uses every command about the cache itself, grants included. Default `false`. */
  readonly admin?: boolean | undefined;
}

/** The agent of a grant for all agents. */
export const EVERY_AGENT = '*';
/** Most grants of a cache. */
export const MAX_GRANTS = 10_000;
const MAX_SELECTIONS = 1_000;
const MAX_KEYS = 1_000;
/** Namespaces whose rules are remembered for each agent and action; beyond that all are looked up again. */
const KNOWN_NAMESPACES = 4_096;

const GRANT = optionNames<Grant>('a grant', { agent: true, read: true, write: true, admin: true });
const SELECTION = optionNames<Exclude<GrantSelection, string>>('a selection of a grant', {
  namespace: true,
  keys: true,
});

/** The keys of a namespace that rules select. `undefined`: all of them. */
type KeyPatterns = readonly NamePattern[] | undefined;

/** The keys of one namespace that an agent has a right to. */
class Keys {
  readonly all: boolean;
  readonly #exact = new Set<string>();
  readonly #patterns: NamePattern[] = [];

  constructor(rules: readonly KeyPatterns[]) {
    this.all = rules.some((patterns) => patterns === undefined || patterns.some(({ matchesAll }) => matchesAll));
    for (const pattern of rules.flatMap((patterns) => patterns ?? [])) {
      if (pattern.literal === undefined) this.#patterns.push(pattern);
      else this.#exact.add(pattern.literal);
    }
  }

  has(key: string): boolean {
    return this.all || this.#exact.has(key) || this.#patterns.some((pattern) => pattern.matches(key));
  }

  hasPrefix(prefix: string): boolean {
    return this.all || this.#patterns.some((pattern) => pattern.matchesPrefix(prefix));
  }

  hasContinued(prefix: string): boolean {
    return this.all || this.#patterns.some((pattern) => pattern.matchesContinued(prefix));
  }
}

/** What an agent may do in one way, compiled. */
class Rules {
  /** `true` if it may do so with every namespace and key. */
  readonly all: boolean;
  readonly #exact = new Map<string, KeyPatterns[]>();
  readonly #patterns: { readonly pattern: NamePattern; readonly keys: KeyPatterns }[] = [];
  /** `null`: no right to any of its keys. */
  readonly #known = new Map<string, Keys | null>();

  constructor(selections: readonly GrantSelection[]) {
    for (const selection of selections) {
      const { namespace, keys } = typeof selection === 'string' ? { namespace: selection, keys: undefined } : selection;
      const pattern = new NamePattern(namespace);
      const patterns = keys === undefined ? undefined : [keys].flat().map((key) => new NamePattern(key));
      if (pattern.literal === undefined) this.#patterns.push({ pattern, keys: patterns });
      else this.#exact.set(pattern.literal, [...(this.#exact.get(pattern.literal) ?? []), patterns]);
    }
    this.all = this.#patterns.some(({ pattern, keys }) => pattern.matchesAll && new Keys([keys]).all);
  }

  of(namespace: string): Keys | null {
    const known = this.#known.get(namespace);
    if (known !== undefined) return known;
    const rules = [...(this.#exact.get(namespace) ?? [])];
    for (const { pattern, keys } of this.#patterns) if (pattern.matches(namespace)) rules.push(keys);
    const found = rules.length === 0 ? null : new Keys(rules);
    if (this.#known.size >= KNOWN_NAMESPACES) this.#known.clear();
    this.#known.set(namespace, found);
    return found;
  }
}

/** The rights of one agent. */
interface Rights {
  readonly admin: boolean;
  readonly read: Rules;
  readonly write: Rules;
}

/** Grants, compiled for decisions: one takes about 0.05 µs, however many there are. Never changes. */
export class Grants {
  /** The grants as they were given, as plain data. */
  readonly list: readonly Grant[];
  readonly #byAgent = new Map<string, Rights>();
  readonly #others: Rights;

  /** @throws {ContextCacheError} `INVALID_OPTION`. */
  constructor(grants: readonly Grant[]) {
    this.list = checkedGrants(grants);
    const everyone = this.list.find(({ agent }) => agent === EVERY_AGENT);
    this.#others = rightsOf(everyone === undefined ? [] : [everyone]);
    for (const grant of this.list) {
      const all = everyone === undefined || grant === everyone ? [grant] : [grant, everyone];
      if (grant !== everyone) this.#byAgent.set(grant.agent, rightsOf(all));
    }
  }

  isAdmin(agent: string): boolean {
    return this.#of(agent).admin;
  }

  /** Each agent may read and write the ends of its own briefings without a grant. */
  may(agent: string, action: 'read' | 'write', namespace: string, key: string): boolean {
    const rights = this.#of(agent);
    if (rights.admin || rights[action].of(namespace)?.has(key) === true) return true;
    return namespace === BRIEFINGS && isCursorOf(agent, key);
  }

  /** Returns whether there may be a key of the namespace to which the agent has the right. */
  maySome(agent: string, action: 'read' | 'write', namespace: string): boolean {
    const rights = this.#of(agent);
    return rights.admin || rights[action].of(namespace) !== null;
  }

  /** Returns whether the agent has the right to all keys of a namespace, those included that are not there yet. */
  mayAll(agent: string, action: 'read' | 'write', namespace: string): boolean {
    const rights = this.#of(agent);
    return rights.admin || rights[action].of(namespace)?.all === true;
  }

  /** Returns whether the agent has the right to all keys of all namespaces. */
  mayEverything(agent: string, action: 'read' | 'write'): boolean {
    const rights = this.#of(agent);
    return rights.admin || rights[action].all;
  }

  /** Returns whether the agent has the right to all keys with a prefix. */
  mayPrefix(agent: string, action: 'read' | 'write', namespace: string, prefix: string): boolean {
    const rights = this.#of(agent);
    return rights.admin || rights[action].of(namespace)?.hasPrefix(prefix) === true;
  }

  /** Returns whether the agent may write every key that an `append` with a prefix can give. */
  mayAppend(agent: string, namespace: string, prefix: string): boolean {
    const rights = this.#of(agent);
    return rights.admin || rights.write.of(namespace)?.hasContinued(prefix) === true;
  }

  #of(agent: string): Rights {
    return this.#byAgent.get(agent) ?? this.#others;
  }
}

function rightsOf(grants: readonly Grant[]): Rights {
  return {
    admin: grants.some(({ admin }) => admin === true),
    read: new Rules(grants.flatMap(({ read }) => read ?? [])),
    write: new Rules(grants.flatMap(({ write }) => write ?? [])),
  };
}

/**
 * Checks grants and returns them as frozen plain data, without what is a default.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedGrants(grants: readonly Grant[]): readonly Grant[] {
  if (!Array.isArray(grants))
    throw invalid('grants must be an array, such as [{ agent: "planner", read: ["trip/**"] }]');
  if (grants.length > MAX_GRANTS) throw invalid(`There are ${grants.length} grants. Give at most ${MAX_GRANTS}`);
  const agents = new Set<string>();
  // Not `map`, which would leave the holes of a sparse array unseen.
  const checked = Array.from(grants, (grant: unknown) => checkedGrant(grant as Grant));
  for (const { agent } of checked) {
    if (agents.has(agent)) throw invalid(`Agent ${JSON.stringify(agent)} has two grants. Put its rights into one`);
    agents.add(agent);
  }
  return Object.freeze(checked);
}

/**
 * Checks one grant and returns it as frozen plain data.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedGrant(grant: Grant): Grant {
  const { agent, read, write, admin } = GRANT.checked(grant ?? null);
  checkAgent(agent);
  if (admin !== undefined && typeof admin !== 'boolean')
    throw invalid(`admin of the grant of ${JSON.stringify(agent)} must be true or false`);
  return Object.freeze({
    agent,
    ...selections(agent, 'read', read),
    ...selections(agent, 'write', write),
    ...(admin === true ? { admin } : {}),
  });
}

/** @throws {ContextCacheError} `INVALID_OPTION` if it is no name of an agent. */
export function checkAgent(agent: unknown): asserts agent is string {
  if (!isAgent(agent))
    throw invalid(`agent of a grant must be a well-formed string of 1 to ${LONGEST_AGENT} characters`);
}

function selections(agent: string, action: 'read' | 'write', given: unknown): Partial<Pick<Grant, 'read' | 'write'>> {
  if (given === undefined) return {};
  const about = `${action} of the grant of ${JSON.stringify(agent)}`;
  if (!Array.isArray(given) || given.length > MAX_SELECTIONS)
    throw invalid(`${about} must be an array of at most ${MAX_SELECTIONS} patterns, such as ["trip/**"]`);
  const checked = Array.from(given, (each: unknown) => checkedSelection(each as GrantSelection, about));
  return { [action]: Object.freeze(checked) };
}

function checkedSelection(selection: GrantSelection, about: string): GrantSelection {
  if (typeof selection === 'string') return new NamePattern(selection).text;
  if (typeof selection !== 'object' || selection === null)
    throw invalid(`${about} takes patterns as strings, or { namespace, keys }`);
  const { namespace, keys } = SELECTION.checked(selection);
  const patterns: unknown[] = Array.isArray(keys) ? Array.from(keys) : [keys];
  if (patterns.length === 0 || patterns.length > MAX_KEYS)
    throw invalid(`keys in ${about} must be a pattern, or an array of 1 to ${MAX_KEYS} patterns`);
  const texts = patterns.map((key) => new NamePattern(key as string).text);
  return Object.freeze({ namespace: new NamePattern(namespace).text, keys: Object.freeze(texts) });
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}
