import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import type { ContextCommand } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { flag, position, positionOrTime, RANGE_PARAMETERS, range, readJson } from '../wire/http-query.ts';
import { beginLines, ClientGone, sendChunks, sendJson, sendText, writeText } from '../wire/http-response.ts';
import { splitLines } from '../wire/lines.ts';
import { PROMETHEUS_TYPE, prometheusText } from '../wire/prometheus.ts';
import { wireAnswer, wireError } from '../wire/wire-error.ts';
import { applyLines, asAgent, type Outcome } from './apply-lines.ts';
import {
  diffChunks,
  dumpChunks,
  historyChunks,
  keyChunks,
  logChunks,
  orderedChunks,
  watchLines,
} from './json-lines.ts';
import type { ClientCache, ServedCache } from './served-cache.ts';

/** A request and its response. */
export interface Exchange {
  /** The cache as the client may use it. */
  readonly cache: ClientCache;
  /** The cache itself. */
  readonly owner: ServedCache;
  /** The agent that the client's token stands for; `null`: commands name the writer themselves. */
  readonly agent: string | null;
  /** Number of connected clients. */
  readonly clients: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** Aborted when the client is gone or the server closes. */
  readonly signal: AbortSignal;
}

/** Handler of one path. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Names of the query parameters; a request with any other is refused. Default: none. */
  readonly parameters?: readonly string[] | undefined;
  readonly answer: (exchange: Exchange) => Promise<void>;
}

const WATCH_PARAMETERS = ['namespace', 'namespacePrefix', 'key', 'keyPrefix', 'since', 'snapshot'];

/** The handlers by path. */
export const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/v1/command', { method: 'POST', answer: command }],
  ['/v1/apply', { method: 'POST', parameters: ['keepGoing', 'acks'], answer: apply }],
  ['/v1/dump', { method: 'GET', parameters: ['namespace', 'at'], answer: dump }],
  ['/v1/keys', { method: 'GET', parameters: ['namespace', ...RANGE_PARAMETERS], answer: keys }],
  ['/v1/entries', { method: 'GET', parameters: ['namespace', ...RANGE_PARAMETERS], answer: entries }],
  ['/v1/log', { method: 'GET', parameters: ['from', 'to', 'namespace'], answer: log }],
  ['/v1/history', { method: 'GET', parameters: ['key', 'namespace'], answer: history }],
  ['/v1/diff', { method: 'GET', parameters: ['a', 'b', 'namespace'], answer: diff }],
  ['/v1/changes', { method: 'GET', parameters: ['since', 'namespace', 'prefix', 'limit'], answer: changes }],
  ['/v1/watch', { method: 'GET', parameters: WATCH_PARAMETERS, answer: watch }],
  ['/v1/health', { method: 'GET', answer: health }],
  ['/metrics', { method: 'GET', parameters: ['namespaces'], answer: metrics }],
  ['/v1/snapshots', { method: 'GET', answer: snapshots }],
]);

async function command({ cache, agent, request, response }: Exchange): Promise<void> {
  const body = asAgent(agent, (await readJson(request)) as ContextCommand);
  const answer: unknown = await cache.ask(body);
  sendJson(response, 200, wireAnswer(body.type, answer));
}

async function apply({ cache, agent, request, response, query, signal }: Exchange): Promise<void> {
  const keepGoing = flag(query, 'keepGoing');
  const acknowledges = query.get('acks') !== 'false';
  const body = bodyOf(request);
  beginLines(response);
  const summary = await applyLines({
    cache,
    agent,
    lines: splitLines(body),
    keepGoing,
    signal,
    cancel: () => {
      request.unpipe(body);
      body.destroy();
    },
    onOutcomes: (outcomes) => {
      const text = outcomes.map((outcome) => outcomeLine(outcome, acknowledges)).join('');
      return text === '' ? undefined : writeText(response, text);
    },
  });
  if (signal.aborted) throw signal.reason;
  response.end(`${JSON.stringify({ summary })}\n`);
}

/** Returns the body as a stream that can be released before the answer is written. */
function bodyOf(request: IncomingMessage): PassThrough {
  const body = new PassThrough();
  request.once('close', () => {
    // A line that was cut off is not executed.
    if (!request.readableEnded) body.destroy(new ClientGone());
  });
  return request.pipe(body);
}

function outcomeLine({ line, position, error }: Outcome, acknowledges: boolean): string {
  if (error !== undefined) return `${JSON.stringify({ line, error: wireError(error) })}\n`;
  return acknowledges ? `{"line":${line},"position":${position}}\n` : '';
}

async function dump({ cache, response, query }: Exchange): Promise<void> {
  const range = { at: positionOrTime(query, 'at'), namespace: query.get('namespace') ?? undefined };
  await sendChunks(response, dumpChunks(cache, range));
}

async function keys({ cache, response, query }: Exchange): Promise<void> {
  await sendChunks(response, keyChunks(cache, { ...range(query), namespace: query.get('namespace') ?? undefined }));
}

async function entries({ cache, response, query }: Exchange): Promise<void> {
  await sendChunks(response, orderedChunks(cache, { ...range(query), namespace: query.get('namespace') ?? undefined }));
}

async function log({ cache, response, query }: Exchange): Promise<void> {
  const from = position(query, 'from');
  const to = position(query, 'to');
  const namespace = query.get('namespace');
  const range = {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(namespace === null ? {} : { namespace }),
  };
  await sendChunks(response, logChunks(cache, range));
}

async function history({ cache, response, query }: Exchange): Promise<void> {
  const key = query.get('key');
  if (key === null)
    throw new ContextCacheError('INVALID_OPTION', 'key is missing. Add ?key= with the key whose history you want.');
  await sendChunks(response, historyChunks(cache, key, query.get('namespace') ?? undefined));
}

async function diff({ cache, response, query }: Exchange): Promise<void> {
  const a = positionOrTime(query, 'a');
  const b = positionOrTime(query, 'b');
  if (a === undefined || b === undefined) {
    throw new ContextCacheError('INVALID_OPTION', 'a or b is missing. Add both: the positions or times to compare.');
  }
  await sendChunks(response, diffChunks(cache, { a, b, namespace: query.get('namespace') ?? undefined }));
}

async function changes({ cache, response, query }: Exchange): Promise<void> {
  const since = position(query, 'since');
  if (since === undefined)
    throw new ContextCacheError('INVALID_OPTION', 'since is missing. Add the position after which you want changes.');
  const namespace = query.get('namespace') ?? undefined;
  const prefix = query.get('prefix') ?? undefined;
  sendJson(response, 200, await cache.changes({ since, namespace, prefix, limit: position(query, 'limit') }));
}

async function watch({ cache, response, query, signal }: Exchange): Promise<void> {
  const namespaces = query.getAll('namespace');
  const keys = query.getAll('key');
  const updates = cache.watch({
    signal,
    include: flag(query, 'snapshot') ? 'snapshot' : 'updates',
    since: position(query, 'since'),
    namespace: namespaces.length === 0 ? undefined : namespaces,
    namespacePrefix: query.get('namespacePrefix') ?? undefined,
    keys: keys.length === 0 ? undefined : keys,
    keyPrefix: query.get('keyPrefix') ?? undefined,
  });
  beginLines(response);
  await sendChunks(response, watchLines(updates));
}

async function health({ cache, response }: Exchange): Promise<void> {
  sendJson(response, 200, cache.health());
}

/** Answers with the metrics in the text format of Prometheus. */
async function metrics({ cache, clients, response, query }: Exchange): Promise<void> {
  const server = {
    name: 'agent_context_cache_server_clients',
    help: 'Clients that are connected to this server.',
    type: 'gauge',
    samples: [{ labels: {}, value: clients }],
  };
  const families = cache.inspection.metrics({ namespaces: position(query, 'namespaces') });
  sendText(response, PROMETHEUS_TYPE, prometheusText([...families, server]));
}

async function snapshots({ cache, response }: Exchange): Promise<void> {
  sendJson(response, 200, (await cache.inspection.snapshots()) ?? []);
}
