import { type Acknowledgement, type ContextStore, DEFAULT_NAMESPACE, type JsonValue, systemClock } from '../index.ts';
import type { Basis, Meta } from '../types.ts';
import { about, contains, cursorOf, iso, mergePatch, namesIn, notesOf, Page, partOf, shown } from './mcp-pages.ts';
import { NO_NOTES, type Notes } from './mcp-readings.ts';
import type { InputName } from './mcp-schemas.ts';

/** The arguments of a call, after the check against the tool's schema. */
export interface Arguments {
  readonly key: string;
  readonly value: JsonValue;
  readonly patch: JsonValue;
  readonly text: string;
  readonly since: number;
  readonly branch?: string;
  readonly namespace?: string;
  readonly ttl?: string | number;
  readonly ifVersion?: number;
  readonly ifAbsent?: boolean;
  readonly meta?: Meta;
  readonly basis?: Basis;
  readonly offset?: number;
  readonly prefix?: string;
  readonly values?: boolean;
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly namespaces?: readonly string[];
  readonly maxTokens?: number;
  readonly cursor?: string;
  readonly before?: number;
  readonly at?: number;
  readonly position: number;
  readonly reason?: string;
  readonly cascade?: 'none' | 'mark' | 'restore';
  readonly operationId?: string;
  readonly dryRun?: boolean;
  readonly onConflict?: 'fail' | 'ours' | 'theirs';
}

/** A call of a tool. */
export interface Call {
  readonly cache: ContextStore;
  /** What the client is shown is noted here. Default: nothing is remembered. */
  readonly notes?: Notes;
  readonly args: Arguments;
  readonly agent: string | undefined;
  readonly maxBytes: number;
}

/** A tool: its description, the names of its arguments, how hosts may treat it, and what it does. */
export interface Tool {
  readonly title: string;
  readonly description: string;
  readonly required: readonly InputName[];
  readonly optional: readonly InputName[];
  /** `read` changes nothing, `add` only adds, `write` may replace or remove. */
  readonly effect: 'read' | 'add' | 'write';
  /** Calling it again with the same arguments changes nothing more. */
  readonly isIdempotent: boolean;
  run(call: Call): Promise<object>;
}

const DEFAULT_LIMIT = 100;
/** Entries that one call of `search` looks at. */
const SCANNED = 20_000;
/** Longest time of one call of `search`, milliseconds. */
const SEARCH_MS = 2_000;
const CONDITIONS = ['ifVersion', 'ifAbsent'] as const;

/** The tools by name. */
export const TOOLS = {
  get: {
    title: 'Read a value',
    description:
      'Reads the value of a key with its version and writer. A long value comes in parts of its JSON text: call again with offset = next.',
    ...{ required: ['key'], optional: ['namespace', 'offset'], effect: 'read', isIdempotent: true },
    async run({ cache, notes, args: { key, namespace = DEFAULT_NAMESPACE, offset = 0 }, maxBytes }) {
      const entry = await cache.entry(key, namespace);
      notes?.shown({ namespace, key, version: entry?.version ?? 0 });
      if (entry === undefined) return { found: false };
      const text = JSON.stringify(entry.value);
      const bytes = Buffer.byteLength(text);
      if (offset === 0 && bytes <= maxBytes) return { found: true, value: entry.value, ...about(entry) };
      return { found: true, ...partOf(text, offset, maxBytes), bytes, ...about(entry) };
    },
  },
  set: {
    title: 'Store a value',
    description:
      'Stores a value under a key, and replaces the one that is there. With ifVersion or ifAbsent a conflict is refused with the current entry, so that no other agent’s work is lost.',
    ...{ required: ['key', 'value'], optional: ['namespace', 'ttl', 'meta', 'basis', ...CONDITIONS], effect: 'write' },
    isIdempotent: true,
    async run(call) {
      const { value, namespace, ttl, ifVersion, ifAbsent, meta } = call.args;
      const options = { ttl, ifVersion, ifAbsent, meta, agent: call.agent };
      const set = (basis?: Basis) => call.cache.set(call.args.key, value, namespace, { ...options, basis });
      return { ...(await based(call, set)) };
    },
  },
  update: {
    title: 'Change a part of a value',
    description:
      'Changes some properties of an object by a JSON merge patch, atomically: properties that the patch does not name stay as they are, also if another agent has just changed them.',
    ...{ required: ['key', 'patch'], optional: ['namespace', 'ttl', 'meta', 'basis', ...CONDITIONS], effect: 'write' },
    isIdempotent: true,
    async run(call) {
      const { key, patch, namespace, ttl, ifVersion, ifAbsent, meta } = call.args;
      const options = { ttl, ifVersion, ifAbsent, meta, agent: call.agent };
      const change = (value: JsonValue | undefined) => mergePatch(value, patch);
      const update = (basis?: Basis) => call.cache.update(key, change, namespace, { ...options, basis });
      const { version, position, changed, value = null } = await based(call, update);
      return { version, position, changed, ...shown(value, call.maxBytes) };
    },
  },
  delete: {
    title: 'Remove a key',
    description: 'Removes a key and its value. Earlier versions stay in "history" as far as the past is kept.',
    ...{ required: ['key'], optional: ['namespace', 'basis', 'ifVersion'], effect: 'write', isIdempotent: true },
    async run(call) {
      const { key, namespace, ifVersion } = call.args;
      const remove = (basis?: Basis) => call.cache.delete(key, namespace, { ifVersion, agent: call.agent, basis });
      return { ...(await based(call, remove)) };
    },
  },
  list: {
    title: 'List keys',
    description: 'Lists the keys of a namespace in order, those with a prefix, and on request their values.',
    required: [],
    optional: ['namespace', 'prefix', 'values', 'reverse', 'limit', 'cursor'],
    ...{ effect: 'read', isIdempotent: true },
    async run({ cache, notes, args, maxBytes }) {
      const { namespace, prefix, values = false, reverse, limit = DEFAULT_LIMIT, cursor } = args;
      const range = { prefix, reverse, after: namesIn(cursor, 1)[0], limit: limit + 1 };
      const page = new Page<{ readonly key: string }>(limit, maxBytes);
      let isCut = false;
      if (values) {
        for await (const entry of cache.entries(namespace, range)) {
          isCut = !page.add({ key: entry.key, ...shown(entry.value, maxBytes), ...about(entry) });
          if (isCut) break;
          notes?.shown(entry);
        }
      } else {
        for await (const key of cache.keys(namespace, range)) {
          isCut = !page.add({ key });
          if (isCut) break;
        }
      }
      return { entries: page.items, ...(isCut ? { next: cursorOf(page.items.at(-1)?.key ?? '') } : {}) };
    },
  },
  namespaces: {
    title: 'List namespaces',
    description: 'Lists the namespaces in order, or those with a prefix.',
    ...{ required: [], optional: ['prefix', 'limit', 'cursor'], effect: 'read', isIdempotent: true },
    async run({ cache, args: { prefix, limit = DEFAULT_LIMIT, cursor }, maxBytes }) {
      const names = await cache.listNamespaces({ prefix, after: namesIn(cursor, 1)[0], limit: limit + 1 });
      const page = new Page<{ readonly name: string }>(limit, maxBytes);
      const isCut = !names.every((name) => page.add({ name }));
      const namespaces = page.items.map(({ name }) => name);
      return { namespaces, ...(isCut ? { next: cursorOf(namespaces.at(-1) ?? '') } : {}) };
    },
  },
  search: {
    title: 'Search',
    description:
      'Finds entries whose key or value contains a text, in one namespace or in all. If "next" is there, call again with cursor = next, also if nothing was found so far.',
    ...{ required: ['text'], optional: ['namespace', 'prefix', 'limit', 'cursor'], effect: 'read', isIdempotent: true },
    run: search,
  },
  history: {
    title: 'Earlier versions of a key',
    description: 'Lists the versions of a key, newest first: who wrote what and when, also if the key is gone by now.',
    ...{ required: ['key'], optional: ['namespace', 'before', 'limit'], effect: 'read', isIdempotent: true },
    async run({ cache, notes, args: { key, namespace = DEFAULT_NAMESPACE, before, limit = DEFAULT_LIMIT }, maxBytes }) {
      const page = new Page<{ readonly version: number }>(limit, maxBytes);
      for await (const each of cache.history(key, namespace)) {
        const { operation, value, version, position, at, agent, expiresAt, meta } = each;
        if (before !== undefined && version >= before) continue;
        const isAdded = page.add({
          ...{ operation, version, position, at: iso(at), agent },
          ...(value === undefined ? {} : shown(value, maxBytes)),
          ...(expiresAt === null ? {} : { expiresAt: iso(expiresAt) }),
          ...(meta === undefined ? {} : { meta }),
          ...notesOf(each),
        });
        if (!isAdded) return { versions: page.items, next: page.items.at(-1)?.version };
        // The newest version. Those behind it are in what it replaces.
        if (before === undefined && page.items.length === 1) notes?.shown({ namespace, key, version });
      }
      return { versions: page.items };
    },
  },
  changes: {
    title: 'Changes since a position',
    description:
      'Lists what has changed since a position: the last update of each key, in order. Keep "next" and call with since = next to go on from there.',
    ...{ required: ['since'], optional: ['namespace', 'prefix', 'limit'], effect: 'read', isIdempotent: true },
    run: changes,
  },
  briefing: {
    title: 'Brief me',
    description:
      'Tells in a short text what other agents have changed since your last briefing: the last change of each key, newest first. The first briefing shows the whole memory.',
    ...{ required: [], optional: ['namespaces', 'maxTokens', 'since'], effect: 'add', isIdempotent: false },
    async run({ cache, notes, args: { namespaces, maxTokens = 2_000, since }, agent = 'unknown', maxBytes }) {
      const bounded = Math.min(maxTokens, tokensIn(maxBytes));
      const options = { agent, namespaces, maxTokens: bounded, ...(since !== undefined && { since }) };
      const { changes: told, agent: _, tokens: __, ...result } = await cache.briefing(options);
      notes?.shown(...told);
      return result;
    },
  },
  retract: {
    title: 'Take a write back',
    description:
      'Takes a write back, given by its position: its entry becomes what it was before, or is removed. Entries that were written later stay and are listed as conflicts. Retracting the "position" of the result undoes it.',
    ...{ required: ['position'], optional: ['reason', 'cascade', 'operationId', 'dryRun'], effect: 'write' },
    isIdempotent: true,
    async run({ cache, args: { position, reason, cascade, operationId, dryRun }, agent, maxBytes }) {
      const report = await cache.retract(position, { reason, cascade, operationId, dryRun, agent });
      const page = new Page<object>(Number.POSITIVE_INFINITY, maxBytes);
      let omitted = 0;
      const fitting = (items: readonly object[]) => {
        const added = items.filter((item) => page.add(item));
        omitted += items.length - added.length;
        return added;
      };
      const conflicts = fitting(report.conflicts.map((conflict) => ({ ...conflict, at: iso(conflict.at) })));
      const [restored, marked] = [fitting(report.restored), fitting(report.marked)];
      return { ...report, conflicts, restored, marked, supported: fitting(report.supported), omitted };
    },
  },
} as const satisfies { readonly [name: string]: Tool };

/** Returns the tokens of a briefing, of three bytes each, whose JSON fits a result although quotes take two bytes there. */
export function tokensIn(maxBytes: number): number {
  return Math.floor(maxBytes / 6);
}

/** Makes a write of one key, with the basis that the call names or what its client was shown. */
function based<Written extends Acknowledgement>(
  { notes = NO_NOTES, args: { key, namespace = DEFAULT_NAMESPACE, basis } }: Call,
  write: (basis: Basis | undefined) => Promise<Written>,
): Promise<Written> {
  return basis === undefined ? notes.based(namespace, key, write) : write(basis);
}

async function search({ cache, notes, args, maxBytes }: Call): Promise<object> {
  const { namespace: only, prefix, limit = DEFAULT_LIMIT, cursor } = args;
  const text = args.text.toLowerCase();
  const [from, key] = namesIn(cursor, 2);
  const names = only === undefined ? await cache.listNamespaces({ from }) : [only];
  const page = new Page<{ readonly namespace: string; readonly key: string }>(limit, maxBytes);
  const deadline = systemClock.now() + SEARCH_MS;
  let scanned = 0;
  let last: readonly [string, string] | undefined;
  for (const namespace of names) {
    for await (const entry of cache.entries(namespace, { prefix, after: namespace === from ? key : undefined })) {
      if (last !== undefined && (scanned >= SCANNED || (scanned % 256 === 0 && systemClock.now() > deadline)))
        return { entries: page.items, scanned, next: cursorOf(...last) };
      scanned += 1;
      const isFound = entry.key.toLowerCase().includes(text) || contains(entry.value, text);
      const item = { namespace, key: entry.key, ...shown(entry.value, maxBytes), ...about(entry) };
      if (isFound && !page.add(item)) return { entries: page.items, scanned, next: cursorOf(...(last ?? [])) };
      if (isFound) notes?.shown(entry);
      last = [namespace, entry.key];
    }
  }
  return { entries: page.items, scanned };
}

async function changes({ cache, notes, args, maxBytes }: Call): Promise<object> {
  const { since, namespace, prefix, limit = DEFAULT_LIMIT } = args;
  const found = await cache.changes({ since, namespace, prefix, limit });
  const page = new Page<{ readonly position: number }>(limit, maxBytes);
  for (const update of found.changes) {
    const { operation, version, position, at, agent, key, value, meta } = update;
    const isAdded = page.add({
      ...{ namespace: update.namespace, key, operation, version, position, at: iso(at), agent },
      ...(operation === 'set' ? shown(value, maxBytes) : {}),
      ...(operation === 'clear' ? shown([...(update.keys ?? [])], maxBytes) : {}),
      ...(meta === undefined ? {} : { meta }),
      ...notesOf(update),
    });
    if (!isAdded) return { changes: page.items, next: page.items.at(-1)?.position ?? since, more: true };
    notes?.shown(update);
  }
  return { changes: page.items, next: found.next, more: found.more };
}
