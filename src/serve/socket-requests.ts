import { knowsOperation } from '../cache/attempt.ts';
import type { ContextStore } from '../cache/context-store.ts';
import type { ContextCommand, WriteOptions } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { originOf } from '../core/origin.ts';
import type { RangeOptions } from '../core/range.ts';
import type { JsonValue } from '../core/value.ts';
import type { Difference } from '../past/difference.ts';
import { checkFields } from '../wire/http-query.ts';
import { MAX_WATCH_BUFFER, type RepeatedSince, type SocketRequest, type WirePoint } from '../wire/socket-protocol.ts';
import { asAgent } from './apply-lines.ts';
import type { OpenViews } from './open-views.ts';
import type { Items } from './outgoing-stream.ts';
import type { ClientCache, ServedCache } from './served-cache.ts';

/** The cache, the views and the agent of one client. */
export interface Session {
  readonly cache: ClientCache;
  readonly views: OpenViews;
  /** The agent that the client's token stands for; `null`: the request names the writer. */
  readonly agent: string | null;
}

/** A request after decoding: an object with a type. */
export type Request = Readonly<Record<string, unknown>> & { readonly type: string };

/** The fields of each request besides `type`. */
const FIELDS: { readonly [Type in SocketRequest['type']]: readonly string[] } = {
  'write.entry': [
    'key',
    'value',
    'namespace',
    'ttl',
    'expiresAt',
    'ifVersion',
    'ifDifferent',
    'subject',
    'subjects',
    'agent',
    'meta',
    'operationId',
    'basis',
  ],
  'read.many': ['keys', 'namespace', 'at'],
  'read.entries': ['namespace', 'at', 'range'],
  'read.keys': ['namespace', 'at', 'range'],
  'read.namespaces': ['at', 'range'],
  'read.entry': ['key', 'namespace', 'at'],
  'read.history': ['key', 'namespace'],
  'read.diff': ['a', 'b', 'namespace'],
  'read.log': ['from', 'to', 'namespace'],
  watch: ['namespace', 'namespacePrefix', 'keys', 'keyPrefix', 'since', 'log', 'snapshot', 'bufferSize'],
  'view.open': ['at'],
  'view.close': ['at'],
  'cache.digest': ['namespace'],
  'cache.synced': ['timeoutMs'],
  'cache.snapshots': [],
};

const STREAMS: ReadonlySet<string> = new Set<SocketRequest['type']>([
  ...(['read.many', 'read.entries', 'read.keys', 'read.namespaces'] as const),
  ...(['read.history', 'read.diff', 'read.log', 'watch', 'cache.snapshots'] as const),
]);

/** Returns whether the answer to a request of this type is a stream. */
export function isStream(type: string): boolean {
  return STREAMS.has(type);
}

/**
 * Returns the answer to a request that is no stream and no data command, at once if it is known at once.
 *
 * @throws {ContextCacheError}
 */
export function answerOf(session: Session, request: Request): unknown {
  const { cache, views, agent } = session;
  if (!isOwn(request)) return answerOfCommand(cache, asAgent(agent, request as unknown as ContextCommand));
  switch (request.type) {
    case 'write.entry':
      return writeEntry(session, request);
    case 'read.entry':
      return views.read(request.at, (view) => view.entry(request.key, request.namespace));
    case 'view.open':
      return { position: views.open(pointOf(request.at)) };
    case 'view.close':
      return views.close(request.at);
    case 'cache.digest':
      return cache.digest(request.namespace);
    default:
      return cache.synced({ timeoutMs: (request as { readonly timeoutMs?: number }).timeoutMs });
  }
}

/**
 * Returns a request without its field `repeats`.
 *
 * @throws {ContextCacheError} `OUTCOME_UNKNOWN` if it repeats a write of which it is no longer known whether it was applied.
 */
export function withoutRepeats(cache: ClientCache, request: Request): Request {
  const { repeats, ...rest } = request;
  const { log, position } = (repeats ?? {}) as Partial<RepeatedSince>;
  const { operationId } = request;
  if (typeof log !== 'string' || typeof position !== 'number' || typeof operationId !== 'string') {
    throw new ContextCacheError('INVALID_COMMAND', 'repeats takes log and position, of a write with an operationId.');
  }
  if (log === cache.inspection.log.id && knowsOperation(cache, operationId, position)) return rest as Request;
  const message = 'The server no longer knows whether this write took effect. Read the entry, then decide.';
  throw new ContextCacheError('OUTCOME_UNKNOWN', message);
}

/**
 * Returns a request without its field `as`, and the session of the agent that it names: a handle of the client makes it.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND` if it is no name of an agent, or if the request is about a view: views are the
 *   client's.
 */
export function actingSession(session: Session, owner: ServedCache, { as, ...given }: Request): [Session, Request] {
  const request = given as Request;
  // The token says which agent it is.
  if (session.agent !== null) return [session, request];
  const { agent } = originOf({ agent: as as string });
  // A command's own `at` is a position, which every client may name.
  const isOfView = Object.hasOwn(FIELDS, request.type) && request.at !== undefined;
  if (agent === null || isOfView || request.type.startsWith('view.'))
    throw new ContextCacheError(
      'INVALID_COMMAND',
      'as takes the name of an agent, in a request that is not about a view.',
    );
  return [{ ...session, cache: owner.forAgent(agent) }, request];
}

/** Answers the frequent reads without a promise. */
function answerOfCommand(cache: ClientCache, command: ContextCommand): unknown {
  const { type } = command;
  if (type === 'context.get' && isPlain(command)) return cache.get(command.key, command.namespace);
  if (type === 'context.entry' && isPlain(command)) return cache.entry(command.key, command.namespace);
  return cache.ask(command);
}

/** Returns whether a command has a key and at most a namespace; `ask` explains what is wrong with any other. */
function isPlain(command: { readonly key: string; readonly namespace?: string | undefined }): boolean {
  const count = Object.keys(command).length;
  return command.key !== undefined && (count === 2 || (count === 3 && Object.hasOwn(command, 'namespace')));
}

/** Writes an entry and resolves with it: the client's `update` must know its instants and what a schema made of it. */
async function writeEntry({ cache, agent }: Session, request: Request): Promise<unknown> {
  const { type: _type, key, value, namespace, agent: named, ...condition } = request;
  const options = { ...condition, agent: agent ?? named } as WriteOptions;
  const { value: _, ...result } = await (cache as ContextStore).update(
    key as string,
    () => value as JsonValue,
    namespace as string | undefined,
    options,
  );
  return result;
}

/** A stream: its items, and for a watch the position that it has reached. */
export interface Streaming {
  readonly items: Items | Promise<Items>;
  readonly position?: () => number | undefined;
}

/**
 * Starts the stream that a request asks for.
 *
 * @throws {ContextCacheError}
 */
export function streamOf(session: Session, request: Request): Streaming {
  const { cache } = session;
  if (!isOwn(request)) throw new ContextCacheError('INVALID_COMMAND', `${request.type} is no stream.`);
  switch (request.type) {
    case 'watch':
      return watch(cache, request);
    case 'read.log':
      return { items: cache.readLog({ from: request.from, to: request.to, namespace: request.namespace }) };
    case 'read.history':
      return { items: cache.history(request.key, request.namespace) };
    case 'read.diff':
      return { items: differences(cache, request) };
    case 'read.many':
      return { items: read(session, request.at, (source) => many(source, request.keys, request.namespace)) };
    case 'read.entries':
      return { items: read(session, request.at, (source) => entries(source, request.namespace, request.range)) };
    case 'read.keys':
      return { items: read(session, request.at, (source) => keys(source, request.namespace, request.range)) };
    case 'read.namespaces':
      return { items: read(session, request.at, (source) => source.listNamespaces(request.range)) };
    default:
      return { items: cache.inspection.snapshots().then((snapshots) => snapshots ?? []) };
  }
}

function watch(cache: ClientCache, request: Extract<SocketRequest, { type: 'watch' }>): Streaming {
  const { namespace, namespacePrefix, keys, keyPrefix, since, log, snapshot, bufferSize } = request;
  if (Number(bufferSize) > MAX_WATCH_BUFFER) {
    throw new ContextCacheError('INVALID_OPTION', `A client's watch has a bufferSize of at most ${MAX_WATCH_BUFFER}.`);
  }
  const present = cache.inspection.log;
  if (log !== undefined && since !== undefined && (log !== present.id || since > present.head)) {
    throw new ContextCacheError('POSITION_UNAVAILABLE', 'The log that the watch was reading is not served any more.');
  }
  const include = snapshot === true ? 'snapshot' : undefined;
  const updates = cache.watch({ namespace, namespacePrefix, keys, keyPrefix, since, include, bufferSize });
  const position = () => {
    const { position } = updates;
    // A snapshot may show updates that are not committed yet. A restart could lose them and reuse their positions.
    return position !== undefined && position <= cache.inspection.log.committed ? position : undefined;
  };
  return { items: updates, position };
}

async function* differences(
  cache: ClientCache,
  { a, b, namespace }: Extract<SocketRequest, { type: 'read.diff' }>,
): AsyncGenerator<unknown> {
  const [before, after] = [a, b].map((point) => (point === 'present' ? cache : pointOf(point))) as [number, number];
  const { added, changed, removed }: Difference = await cache.diff(before, after, { namespace });
  for (const entry of added) yield ['added', entry];
  for (const { before, after } of changed) yield ['changed', before, after];
  for (const entry of removed) yield ['removed', entry];
}

type Source = Pick<ContextStore, 'getMany' | 'entries' | 'keys' | 'listKeys' | 'listNamespaces'>;

/** Reads the present, or a view: one that the client does not hold open ends before its items are sent. */
function read(
  { cache, views }: Session,
  at: number | undefined,
  items: (source: Source) => Streaming['items'],
): Streaming['items'] {
  if (at === undefined) return items(cache);
  return views.read(at, (view, isOpen) => (isOpen ? items(view) : [...(items(view) as Iterable<unknown>)]));
}

/** Returns `[value]` for each key, and `[]` for a missing one. */
function many(source: Source, keys: readonly string[], namespace: string): Streaming['items'] {
  if (!Array.isArray(keys)) throw new ContextCacheError('INVALID_COMMAND', 'keys must be an array of keys.');
  const values = source.getMany(keys, namespace);
  return values instanceof Promise ? values.then(marked) : marked(values);
}

function marked(values: readonly unknown[]): unknown[] {
  return values.map((value) => (value === undefined ? [] : [value]));
}

function entries(source: Source, namespace: string, range: RangeOptions | undefined): Streaming['items'] {
  return range === undefined ? source.entries(namespace) : source.entries(namespace, range);
}

function keys(source: Source, namespace: string, range: RangeOptions | undefined): Streaming['items'] {
  return range === undefined ? source.listKeys(namespace) : source.keys(namespace, range);
}

/** Returns whether a request is one of the protocol's own, and not a command of the cache. */
function isOwn(request: Request): request is Request & SocketRequest {
  const fields = Object.hasOwn(FIELDS, request.type) ? FIELDS[request.type as SocketRequest['type']] : undefined;
  if (fields === undefined) return false;
  const { type, ...given } = request;
  checkFields(given, type, fields);
  return true;
}

function pointOf(point: WirePoint): number | Date {
  if (typeof point === 'object' && point !== null && typeof point.time === 'number') return new Date(point.time);
  return point as number;
}

/** Returns whether a decoded value is a request. */
export function isRequest(candidate: unknown): candidate is Request {
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    !Array.isArray(candidate) &&
    typeof (candidate as { readonly type?: unknown }).type === 'string'
  );
}
