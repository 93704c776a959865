import { ContextCacheError } from './errors.ts';
import type { Entry } from './namespace-state.ts';
import { optionNames } from './options.ts';
import type { RetractionFields } from './retraction.ts';
import type { Update } from './update.ts';
import type { JsonValue } from './value.ts';

/** Options of `briefing`. */
export interface BriefingOptions {
  /** Agent to brief. Its own writes are left out. Default: the agent of the handle, as of `cache.as({ agent: 'planner' })`. */
  readonly agent?: string | undefined;
  /**
   * Position after which changes are listed. Default: the end of the agent's last briefing of the same `namespaces`; 0 for the
   * first one, which lists the present state.
   */
  readonly since?: number | undefined;
  /**
   * Namespaces, the most important first: names, or text followed by `*` for all that start with it. Changes in the first one
   * come first. Default: all, equally important.
   */
  readonly namespaces?: readonly string[] | undefined;
  /** Most tokens of the text, from 50 up. Default 2,000. */
  readonly maxTokens?: number | undefined;
  /** Counts the tokens of a text. Default: one for each three bytes of UTF-8, which overestimates most texts. */
  readonly tokenizer?: ((text: string) => number) | undefined;
  /** Keeps the end of this briefing as the start of the next one. Default true; false for a look ahead. */
  readonly advance?: boolean | undefined;
}

/** The last change of a key. */
export interface BriefedChange extends RetractionFields {
  readonly namespace: string;
  /** `null`: the whole namespace was cleared. */
  readonly key: string | null;
  /** `clear`: of the keys with a prefix, which are in `keys`. */
  readonly operation: Update['operation'];
  /** The present value of a `set`. */
  readonly value?: JsonValue | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly agent: string | null;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Version of the entry, or of the namespace if `key` is `null`. */
  readonly version: number;
  /** Position of the update; 0 if `isComplete` is false. */
  readonly position: number;
}

/** What has changed for an agent, as data and as text for a prompt. */
export interface Briefing {
  readonly agent: string;
  /** Position after which changes were listed. */
  readonly since: number;
  /** Position up to which changes were listed: the `since` of the next briefing. */
  readonly until: number;
  /** The changes in the text, the most important and newest first. */
  readonly changes: readonly BriefedChange[];
  /** Number of changes that the budget had no room for. The text says so. `changes` of the cache has them all. */
  readonly omitted: number;
  /**
   * False if the log no longer has all updates since then. The changes are then the present entries, and keys that were removed
   * are not known.
   */
  readonly isComplete: boolean;
  readonly text: string;
  /** Tokens of the text. */
  readonly tokens: number;
}

/** The options after the checks. */
export interface CheckedBriefing {
  readonly agent: string;
  readonly since: number | undefined;
  readonly namespaces: readonly string[];
  readonly maxTokens: number;
  readonly tokenizer: (text: string) => number;
  readonly advance: boolean;
}

const OPTIONS = optionNames<BriefingOptions>('briefing', {
  agent: true,
  since: true,
  namespaces: true,
  maxTokens: true,
  tokenizer: true,
  advance: true,
});

/** Bytes of a token by the default count. */
const TOKEN_BYTES = 3;
const encoder = new TextEncoder();

/**
 * Checks the options. `ownAgent` is the agent of the handle.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedBriefing(options: BriefingOptions, ownAgent?: string | null): CheckedBriefing {
  OPTIONS.check(options);
  const {
    agent = ownAgent,
    since,
    namespaces = [],
    maxTokens = 2_000,
    tokenizer = estimated,
    advance = true,
  } = options;
  if (typeof agent !== 'string' || agent === '' || agent.length > 1_024 || !agent.isWellFormed())
    throw invalid(
      'needs an agent: a well-formed string of 1 to 1,024 characters, or the handle of cache.as({ agent })',
    );
  if (since !== undefined && !(Number.isSafeInteger(since) && since >= 0))
    throw invalid('since must be a position of the log, an integer from 0 up');
  if (!Array.isArray(namespaces) || !namespaces.every(isName))
    throw invalid('namespaces must be an array of well-formed names, or of text followed by *');
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 50) throw invalid('maxTokens must be an integer from 50 up');
  if (typeof tokenizer !== 'function') throw invalid('tokenizer must be a function that counts the tokens of a text');
  if (typeof advance !== 'boolean') throw invalid('advance must be true or false');
  return { agent, since, namespaces: [...namespaces], maxTokens, tokenizer, advance };
}

/** Returns the key of an agent's cursor in the namespace of the ends of briefings. Each selection of namespaces has its own. */
export function cursorOf(agent: string, namespaces: readonly string[]): string {
  return namespaces.length === 0 ? agent : JSON.stringify([agent, ...namespaces]);
}

/** Returns whether a key is a cursor of this agent and of no other one. An agent whose name looks like a list owns none. */
export function isCursorOf(agent: string, key: string): boolean {
  return (key === agent && !agent.startsWith('[')) || key.startsWith(`${JSON.stringify([agent]).slice(0, -1)},`);
}

/** Returns the place of a namespace in the order of importance; -1 if it is not asked for. */
export function importanceOf(namespace: string, namespaces: readonly string[]): number {
  if (namespaces.length === 0) return 0;
  return namespaces.findIndex((name) => isNamedBy(namespace, name));
}

function isNamedBy(namespace: string, name: string): boolean {
  return name.endsWith('*') ? namespace.startsWith(name.slice(0, -1)) : namespace === name;
}

/** Returns an update as a change. */
export function changeOf(update: Update): BriefedChange {
  const { namespace, key, operation, value, keys, agent, at, version, position, retraction, stale } = update;
  return {
    ...{ namespace, key, operation, agent, at, version, position },
    ...(operation === 'set' && { value }),
    ...(keys != null && { keys }),
    ...(retraction !== undefined && { retraction }),
    ...(stale !== undefined && { stale }),
  };
}

/** Returns a present entry as a change. */
export function changeOfEntry(entry: Entry): BriefedChange {
  const { namespace, key, value, agent, updatedAt: at, version, retraction, stale } = entry;
  const change = { namespace, key, operation: 'set', value, agent, at, version, position: 0 } as const;
  return {
    ...change,
    ...(retraction !== undefined && { retraction }),
    ...(stale !== undefined && { stale }),
  };
}

/** Sorts changes: the most important namespace first, in each importance what was taken back or is stale, then the newest first. */
export function ranked(changes: readonly BriefedChange[], namespaces: readonly string[]): BriefedChange[] {
  const ranks = new Map<BriefedChange, number>(
    changes.map((change) => [change, importanceOf(change.namespace, namespaces)]),
  );
  const rankOf = (change: BriefedChange) => ranks.get(change) as number;
  return [...changes].sort(
    (a, b) => rankOf(a) - rankOf(b) || warnsOf(b) - warnsOf(a) || b.position - a.position || b.at - a.at,
  );
}

/** Returns 1 for a change that an agent must not miss: what it relied on was taken back. */
function warnsOf({ retraction, stale }: BriefedChange): number {
  return retraction === undefined && stale === undefined ? 0 : 1;
}

/**
 * Returns the text with as many of the changes, which are ranked, as the budget has room for. A value longer than about a quarter
 * of the budget is cut. Looks for the number by halving, so it counts the tokens of about log₂ of the number of changes texts.
 */
export function fitted(
  changes: readonly BriefedChange[],
  total: number,
  { agent, since, isComplete }: Pick<Briefing, 'agent' | 'since' | 'isComplete'>,
  { maxTokens, tokenizer }: Pick<CheckedBriefing, 'maxTokens' | 'tokenizer'>,
): Pick<Briefing, 'changes' | 'omitted' | 'text' | 'tokens'> {
  const lines = changes.map((change) => lineOf(change, maxTokens));
  const textWith = (count: number) =>
    textOf(changes.slice(0, count), lines, { head: headOf(agent, since, isComplete), omitted: total - count });
  let best = { count: 0, text: textWith(0), tokens: 0 };
  best.tokens = countOf(best.text, tokenizer);
  let low = 1;
  let high = changes.length;
  while (low <= high) {
    const count = (low + high) >> 1;
    const text = textWith(count);
    const tokens = countOf(text, tokenizer);
    if (tokens <= maxTokens) {
      best = { count, text, tokens };
      low = count + 1;
    } else high = count - 1;
  }
  const { count, text, tokens } = best;
  return { changes: changes.slice(0, count), omitted: total - count, text, tokens };
}

function headOf(agent: string, since: number, isComplete: boolean): string {
  if (!isComplete) return `Present entries for ${agent}; earlier changes are no longer kept:`;
  return since === 0 ? `Shared memory, for ${agent}:` : `Changes since position ${since}, for ${agent}:`;
}

/** Groups the lines by namespace, in the order in which the namespaces come first. */
function textOf(
  changes: readonly BriefedChange[],
  lines: readonly string[],
  { head, omitted }: { readonly head: string; readonly omitted: number },
): string {
  if (changes.length === 0 && omitted === 0) return 'Nothing has changed.';
  const groups = new Map<string, string[]>();
  for (const [index, { namespace }] of changes.entries()) {
    const group = groups.get(namespace);
    if (group === undefined) groups.set(namespace, [lines[index] as string]);
    else group.push(lines[index] as string);
  }
  const parts = [...groups].map(([namespace, each]) => `[${namespace}]\n${each.join('\n')}`);
  const more = omitted === 0 ? [] : [`(${omitted} more ${omitted === 1 ? 'change' : 'changes'}, not shown)`];
  return [head, ...parts, ...more].join('\n');
}

/** `maxLength`: characters of a value. */
function lineOf(change: BriefedChange, maxLength: number): string {
  const { key, operation, value, keys, agent, at } = change;
  const by = `${noteOf(change)}(${agent ?? 'unknown'} ${new Date(at).toISOString().slice(0, 16).replace('T', ' ')})`;
  if (operation === 'clear_namespace' || key === null) {
    const shown = keys === undefined ? 'all keys' : cut(keys.join(', '), maxLength);
    return `${shown} removed ${by}`;
  }
  if (operation !== 'set') return `${key} ${operation === 'expire' ? 'expired' : 'removed'} ${by}`;
  return `${key} = ${cut(JSON.stringify(value ?? null), maxLength)} ${by}`;
}

/** Returns what a retraction says about a change, for the text. */
function noteOf({ retraction, stale }: BriefedChange): string {
  const why = (reason: string | undefined) => (reason === undefined ? '' : `: ${reason}`);
  if (stale !== undefined) return `[stale, based on what was taken back${why(stale.reason)}] `;
  return retraction === undefined ? '' : `[taken back${why(retraction.reason)}] `;
}

function cut(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  return `${text.slice(0, maxLength).toWellFormed()}… (${text.length} characters)`;
}

function countOf(text: string, tokenizer: (text: string) => number): number {
  const tokens: unknown = tokenizer(text);
  if (typeof tokens === 'number' && tokens >= 0) return tokens;
  throw invalid('tokenizer must return a number from 0 up');
}

function estimated(text: string): number {
  return Math.ceil(encoder.encode(text).length / TOKEN_BYTES);
}

function isName(name: unknown): boolean {
  return typeof name === 'string' && name !== '' && name.isWellFormed();
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `briefing: ${problem}.`);
}
