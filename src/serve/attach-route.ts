import { startInspector } from '../cache/start-inspector.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { Inspector } from '../engine/inspector-options.ts';
import { checkFields, readJson } from '../wire/http-query.ts';
import { beginLines, writeText } from '../wire/http-response.ts';
import type { Exchange, Route } from './http-routes.ts';
import type { ServedCache } from './served-cache.ts';

/** Options of an inspector that another program of this user opens in the serving process. */
export interface AttachRequest {
  readonly port?: number | undefined;
  readonly allowWrite?: boolean | undefined;
  /** Further words of names whose values are hidden; see `redact` of the inspector. */
  readonly redact?: readonly string[] | undefined;
}

/** Path of {@link ATTACH}. */
export const ATTACH_PATH = '/v1/inspect';

/**
 * Starts an inspector in the process that serves the cache. The first line of the answer has its address. It ends with the
 * request, so that nothing is left when the caller is gone.
 */
export const ATTACH: Route = { method: 'POST', answer: attach };

async function attach({ owner, agent, request, response, signal }: Exchange): Promise<void> {
  if (agent !== null) {
    // Edits in the page would be written under another name.
    throw new ContextCacheError('FORBIDDEN', 'An inspector needs the token of the server, not that of an agent.');
  }
  const inspector = await begin(owner, await readJson(request));
  const stopListening = owner.inspection.onShutdown(async () => void response.end());
  try {
    signal.throwIfAborted();
    beginLines(response);
    await writeText(response, `${JSON.stringify({ url: inspector.url })}\n`);
    await ended(signal);
    if (!response.writableEnded) response.end();
  } finally {
    stopListening();
    await inspector.close();
  }
}

function begin(cache: ServedCache, body: unknown): Promise<Inspector> {
  const fields = (body ?? {}) as Record<string, unknown>;
  checkFields(fields, ATTACH_PATH, ['port', 'allowWrite', 'redact']);
  const { port, allowWrite, redact } = fields;
  const isPort = port === undefined || (Number.isInteger(port) && Number(port) >= 0 && Number(port) <= 65_535);
  const isList = redact === undefined || (Array.isArray(redact) && redact.every((word) => typeof word === 'string'));
  const isFlag = allowWrite === undefined || typeof allowWrite === 'boolean';
  if (isPort && isList && isFlag) return startInspector(cache, { port, allowWrite, redact } as AttachRequest);
  throw new ContextCacheError('INVALID_COMMAND', 'Send { port, allowWrite, redact }: a port, true or false, words.');
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
}
