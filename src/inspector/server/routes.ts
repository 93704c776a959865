import type { Acknowledgement } from '../../core/command.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { OPERATIONS, type Operation } from '../../core/update.ts';
import { position, positionOrTime } from '../../wire/http-query.ts';
import type { EditRequest, UpdateFilter } from '../data-protocol.ts';
import type { Addresses, Branch } from '../protocol.ts';
import type { ActorsQuery } from '../reads/actors.ts';
import { contradictionsOf } from '../reads/contradictions.ts';
import type { NamesQuery } from '../reads/data.ts';
import { traceOf } from '../reads/trace.ts';
import { GRAPHS, type Services } from './services.ts';

/** A request, and everything needed to answer it. */
export interface RouteRequest {
  readonly services: Services;
  readonly query: URLSearchParams;
  /** JSON body of a POST; `{}` otherwise. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly allowWrite: boolean;
  /** WebSocket address for producers of other programs. */
  readonly foreignUrl: string;
  readonly fork: (at: number) => Promise<Branch>;
  readonly signal: AbortSignal;
}

type Routes = {
  readonly [Address in keyof Addresses]: (request: RouteRequest) => Addresses[Address] | Promise<Addresses[Address]>;
};

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 500;
const DEFAULT_POINTS = 60;
const MAX_POINTS = 200;
const SEPARATORS = [':', '/', '.'];
const STATUSES: readonly string[] = [
  'resident',
  'passivated',
  'restarting',
  'failed',
] satisfies ActorsQuery['status'][];
const SORTS: readonly string[] = ['name', 'load', 'keys', 'bytes', 'restarts'] satisfies ActorsQuery['sort'][];

/** Addresses that change the cache or its snapshots. A branch changes only itself, and verifying only reads. */
export const WRITES: ReadonlySet<string> = new Set<keyof Addresses>([
  'POST /api/set',
  'POST /api/delete',
  'POST /api/backup',
]);

const TREE = ['prefix', 'separator', 'q', 'at', 'after', 'limit'];

/** The names that each address takes: query parameters of a GET, body fields of a POST. A request with any other is refused. */
export const PARAMETERS: { readonly [Address in keyof Addresses]: readonly string[] } = {
  'GET /api/meta': [],
  'GET /api/overview': [],
  'GET /api/machines': [],
  'GET /api/actors': ['q', 'status', 'sort', 'after', 'limit'],
  'GET /api/actor-tree': TREE,
  'GET /api/agents': ['limit'],
  'GET /api/actor': ['id'],
  'GET /api/updates': ['operation', 'namespace', 'key', 'agent', 'value', 'before', 'around', 'limit'],
  'GET /api/update': ['position'],
  'GET /api/namespaces': TREE,
  'GET /api/keys': ['namespace', ...TREE],
  'GET /api/search': ['q', 'at', 'after', 'limit'],
  'GET /api/entry': ['namespace', 'key', 'at'],
  'GET /api/history': ['namespace', 'key', 'after', 'limit'],
  'GET /api/trace': ['namespace', 'key', 'limit'],
  'GET /api/contradictions': ['namespace', 'after', 'limit'],
  'POST /api/set': ['namespace', 'key', 'value', 'ifVersion', 'expiresAt', 'edited', 'subjects'],
  'POST /api/delete': ['namespace', 'key', 'ifVersion'],
  'GET /api/view': ['at'],
  'GET /api/timeline': ['points'],
  'GET /api/diff': ['a', 'b', 'namespace', 'agent', 'after', 'limit'],
  'POST /api/fork': ['at'],
  'GET /api/health': [],
  'POST /api/backup': [],
  'POST /api/verify': ['against'],
  'GET /api/foreign': [],
};

/** The answer to each address. */
export const ROUTES: Routes = {
  'GET /api/meta': ({ services, allowWrite, foreignUrl }) => services.meta(allowWrite, foreignUrl),
  'GET /api/overview': ({ services }) => services.meter.overview(),
  'GET /api/machines': () => ({ machines: GRAPHS }),
  'GET /api/actors': ({ services, query, signal }) =>
    services.actors.list({
      q: query.get('q') ?? '',
      status: oneOf(query, 'status', STATUSES) as ActorsQuery['status'],
      sort: (oneOf(query, 'sort', SORTS) ?? 'name') as ActorsQuery['sort'],
      ...{ after: position(query, 'after') ?? 0, limit: limitOf(query), signal },
    }),
  'GET /api/actor-tree': ({ services, query, signal }) => services.actors.tree(names(query, signal)),
  'GET /api/agents': ({ services, query }) => services.agents.detail(limitOf(query)),
  'GET /api/actor': ({ services, query }) => services.actors.one(text(query, 'id')),
  'GET /api/updates': ({ services, query, signal }) =>
    services.updates.page({
      ...{ filter: filterIn(query), limit: limitOf(query), signal },
      ...{ before: position(query, 'before'), around: position(query, 'around') },
    }),
  'GET /api/update': ({ services, query, signal }) => services.updates.one(positionOf(query, 'position'), signal),
  'GET /api/namespaces': ({ services, query, signal }) => services.data.namespaces(names(query, signal)),
  'GET /api/keys': ({ services, query, signal }) => services.data.keys(text(query, 'namespace'), names(query, signal)),
  'GET /api/search': ({ services, query, signal }) =>
    services.data.search({
      ...{ q: text(query, 'q'), at: positionOrTime(query, 'at'), after: query.get('after') ?? undefined },
      ...{ limit: limitOf(query), signal },
    }),
  'GET /api/entry': ({ services, query }) =>
    services.data.entry(text(query, 'namespace'), text(query, 'key'), positionOrTime(query, 'at')),
  'GET /api/history': ({ services, query, signal }) =>
    services.data.history(text(query, 'namespace'), text(query, 'key'), {
      ...{ before: position(query, 'after'), limit: limitOf(query), signal },
    }),
  'GET /api/trace': ({ services, query }) =>
    traceOf(services.cache, text(query, 'namespace'), text(query, 'key'), limitOf(query)),
  'GET /api/contradictions': ({ services, query }) =>
    contradictionsOf(services, {
      ...{ namespace: query.get('namespace') ?? undefined, since: position(query, 'after') ?? 0 },
      limit: limitOf(query),
    }),
  'POST /api/set': ({ services, body }) => set(services, body),
  'POST /api/delete': ({ services, body }) => services.data.delete(editOf(body)),
  'GET /api/view': ({ services, query }) => services.views.detail(positionOrTime(query, 'at')),
  'GET /api/timeline': async ({ services, query, signal }) => {
    const points = numberOf(query, 'points', DEFAULT_POINTS, MAX_POINTS);
    return { points: await services.views.timeline(points, signal) };
  },
  'GET /api/diff': ({ services, query, signal }) =>
    services.views.difference({
      a: services.views.position(requiredPositionOrTime(query, 'a')),
      b: services.views.position(requiredPositionOrTime(query, 'b')),
      namespace: query.get('namespace') || undefined,
      agent: query.get('agent') || undefined,
      ...{ after: position(query, 'after') ?? 0, limit: limitOf(query), signal },
    }),
  'POST /api/fork': ({ body, fork }) => fork(integer(body, 'at')),
  'GET /api/health': ({ services }) => services.health.detail(),
  'POST /api/backup': ({ services }) => services.cache.ask({ type: 'context.backup' }),
  'POST /api/verify': ({ services, body, signal }) => {
    const { against = 'nothing' } = body;
    if (against !== 'nothing' && against !== 'mirror') throw invalid('against must be "nothing" or "mirror".');
    return services.verification.run(against, signal);
  },
  'GET /api/foreign': ({ services }) => services.foreign.list(),
};

function set(services: Services, body: RouteRequest['body']): Promise<Acknowledgement> {
  const { value, expiresAt, edited, subjects } = body;
  if (value === undefined) throw invalid('value is missing. Send the JSON value to store.');
  if (expiresAt !== undefined && expiresAt !== null && typeof expiresAt !== 'number') {
    throw invalid('expiresAt must be epoch milliseconds, or null for no expiry.');
  }
  if (subjects !== undefined && !isTexts(subjects)) {
    throw invalid('subjects must be an object of subjects by JSON pointer, such as {"/email": "user-42"}.');
  }
  return services.data.set({
    ...({ ...editOf(body), value } as EditRequest),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(edited !== undefined && { edited: integer(body, 'edited') }),
    ...(subjects !== undefined && { subjects }),
  });
}

function isTexts(given: unknown): given is { readonly [name: string]: string } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
  return Object.values(given).every((each) => typeof each === 'string');
}

function editOf(body: RouteRequest['body']): Omit<EditRequest, 'value'> {
  const { namespace, key } = body;
  if (typeof namespace !== 'string') throw invalid('namespace is missing. Send it as a string.');
  if (typeof key !== 'string') throw invalid('key is missing. Send it as a string.');
  return { namespace, key, ifVersion: integer(body, 'ifVersion') };
}

function integer(body: RouteRequest['body'], name: string): number {
  const value = body[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`${name} must be an integer of 0 or more.`);
}

function names(query: URLSearchParams, signal: AbortSignal): NamesQuery {
  const separators = query.getAll('separator').filter((separator) => separator !== '');
  return {
    prefix: query.get('prefix') ?? '',
    separators: query.has('separator') ? separators : SEPARATORS,
    q: query.get('q') ?? '',
    ...{ at: positionOrTime(query, 'at'), after: query.get('after') ?? undefined, limit: limitOf(query), signal },
  };
}

function filterIn(query: URLSearchParams): UpdateFilter {
  const operation = query.getAll('operation');
  const other = operation.find((name) => !OPERATIONS.includes(name as Operation));
  if (other !== undefined) throw invalid(`operation must be one of ${OPERATIONS.join(', ')}.`);
  const patterns = ['namespace', 'key', 'agent', 'value'].flatMap((name) => {
    const pattern = query.get(name);
    return pattern === null ? [] : [[name, pattern] as const];
  });
  return { operation: operation as Operation[], ...Object.fromEntries(patterns) };
}

function text(query: URLSearchParams, name: string): string {
  const value = query.get(name);
  if (value !== null) return value;
  throw invalid(`${name} is missing. Add it to the query.`);
}

function positionOf(query: URLSearchParams, name: string): number {
  const value = position(query, name);
  if (value !== undefined) return value;
  throw invalid(`${name} is missing. Add a position of the log to the query.`);
}

function requiredPositionOrTime(query: URLSearchParams, name: string): number | Date {
  const value = positionOrTime(query, name);
  if (value !== undefined) return value;
  throw invalid(`${name} is missing. Add a position of the log or an ISO time to the query.`);
}

function oneOf(query: URLSearchParams, name: string, allowed: readonly string[]): string | undefined {
  const value = query.get(name);
  if (value === null || allowed.includes(value)) return value ?? undefined;
  throw invalid(`${name} must be one of ${allowed.join(', ')}.`);
}

function limitOf(query: URLSearchParams): number {
  return numberOf(query, 'limit', DEFAULT_LIMIT, MAX_LIMIT);
}

function numberOf(query: URLSearchParams, name: string, otherwise: number, most: number): number {
  const value = position(query, name) ?? otherwise;
  if (value >= 1 && value <= most) return value;
  throw invalid(`${name} must be from 1 to ${most}.`);
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
