import { createHash } from 'node:crypto';
import type { LanguageModelMiddleware } from 'ai';
import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  type Duration,
  fromJsonValue,
  type JsonValue,
  joinNamespace,
  toJsonValue,
} from '../index.ts';
import { sdkErrors } from './ai-sdk-error.ts';
import { Flights } from './ai-sdk-flights.ts';
import { Recording } from './ai-sdk-recording.ts';

type GenerateCall = Parameters<NonNullable<LanguageModelMiddleware['wrapGenerate']>>[0];
type Generated = Awaited<ReturnType<GenerateCall['doGenerate']>>;
type Streamed = Awaited<ReturnType<GenerateCall['doStream']>>;
type Part = Streamed['stream'] extends ReadableStream<infer Each> ? Each : never;

/** A call of a model, for {@link ContextCacheMiddlewareOptions.isCached}. */
export type ModelCall = Pick<GenerateCall, 'params' | 'model'> & { readonly type: 'generate' | 'stream' };

/** Options of {@link contextCacheMiddleware}. */
export interface ContextCacheMiddlewareOptions {
  /** Namespace of the answers, as a name or as parts. Default `['ai-sdk', 'calls']`. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Time that an answer is kept: milliseconds, or a text such as `'1h'`. Default: no limit. */
  readonly ttl?: Duration | undefined;
  /** Returns whether a call is answered from the cache and its answer kept. Default: every call. */
  readonly isCached?: ((call: ModelCall) => boolean) | undefined;
}

const OPTIONS = optionNames<ContextCacheMiddlewareOptions>('contextCacheMiddleware', {
  namespace: true,
  ttl: true,
  isCached: true,
});

/**
 * Creates a middleware for language models of the [AI SDK](https://ai-sdk.dev) that answers a repeated call from the cache. Two
 * calls are the same if model, prompt, tools and settings are equal; headers and the abort signal do not count. Of equal calls
 * at one time in this process only one reaches the model, and it is aborted when all of its callers have aborted.
 *
 * Keeps only whole answers: not a stream that failed, was aborted or has an error in it.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 *
 * @example
 * ```ts
 * const model = wrapLanguageModel({ model: openai('gpt-5-mini'), middleware: contextCacheMiddleware(cache, { ttl: '1d' }) });
 * ```
 */
export function contextCacheMiddleware(
  cache: ContextStore,
  options: ContextCacheMiddlewareOptions = {},
): LanguageModelMiddleware {
  OPTIONS.check(options);
  if (typeof cache?.clearNamespace !== 'function')
    throw invalid('contextCacheMiddleware takes a cache, or a client of one, as its first argument.');
  const { namespace: given = ['ai-sdk', 'calls'], ttl, isCached = () => true } = options;
  if (typeof isCached !== 'function') throw invalid('isCached must be a function.');
  const namespace = typeof given === 'string' ? given : joinNamespace(given);
  if (namespace === '') throw invalid('namespace must not be empty.');

  const find = (key: string) => sdkErrors(() => cache.get(key, namespace));
  // Not awaited: a failure to keep an answer goes to the cache's `onError`, and the caller has the answer.
  const keep = (key: string, value: object) => void cache.set(key, toJsonValue(value), namespace, { ttl });
  const generating = new Flights<Generated>();
  const streaming = new Flights<Recording<Part, Omit<Streamed, 'stream'>>>();

  return {
    specificationVersion: 'v3',
    async wrapGenerate({ doGenerate, params, model }) {
      if (!isCached({ type: 'generate', params, model })) return doGenerate();
      const key = keyOf('generate', params, model);
      return generating.join(key, params.abortSignal, async (abortSignal) => {
        const found = generatedOf(await find(key));
        if (found !== undefined) return found;
        abortSignal.throwIfAborted();
        const result = await model.doGenerate({ ...params, abortSignal });
        const { content, finishReason, usage, warnings, providerMetadata } = result;
        const kept = { content, finishReason, usage, warnings, providerMetadata, response: metaOf(result.response) };
        keep(key, { model: nameOf(model), result: kept });
        return result;
      });
    },
    async wrapStream({ doStream, params, model }) {
      if (!isCached({ type: 'stream', params, model })) return doStream();
      const key = keyOf('stream', params, model);
      const { abortSignal: own } = params;
      const flight = streaming.hold(key, own, async (abortSignal, ended) => {
        const found = partsOf(await find(key));
        if (found !== undefined) return Recording.of(found, {}, ended);
        abortSignal.throwIfAborted();
        const { stream, ...rest } = await model.doStream({ ...params, abortSignal });
        return new Recording(stream, rest, (parts) => {
          const isWhole = parts?.at(-1)?.type === 'finish' && !parts.some(({ type }) => type === 'error');
          if (isWhole) keep(key, { model: nameOf(model), parts: parts.map(storedPart) });
          ended();
        });
      });
      const recording = await flight.result;
      return { ...recording.rest, stream: recording.reader(own, flight.release) };
    },
  };
}

const nameOf = ({ provider, modelId }: GenerateCall['model']) => `${provider}/${modelId}`;

/** Returns the key of a call. The order of properties, and properties that are `undefined`, make no difference. */
function keyOf(type: string, params: GenerateCall['params'], model: GenerateCall['model']): string {
  const { abortSignal: _, headers: __, ...settings } = params;
  const text = JSON.stringify(canonical([model.provider, model.modelId, settings]));
  return `${type}:${createHash('sha256').update(text).digest('hex')}`;
}

/** Returns plain JSON that is equal only for equal values: text, bytes and addresses of files differ. */
function canonical(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof URL) return { $url: value.href };
  if (value instanceof Date) return { $date: value.getTime() };
  if (Array.isArray(value)) return value.map(canonical);
  const pairs = Object.entries(value).filter(([, inner]) => inner !== undefined);
  // As pairs, so that `__proto__` and names like numbers have no place of their own.
  return { $object: pairs.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, canonical(inner)]) };
}

function metaOf({ id, modelId, timestamp }: NonNullable<Generated['response']> = {}): object {
  return { id, modelId, timestamp: timestamp?.toISOString() };
}

function storedPart(part: Part): object {
  return part.type === 'response-metadata' ? { type: part.type, ...metaOf(part) } : part;
}

function withDate<Value extends object>(value: Value): Value {
  const { timestamp } = value as { readonly timestamp?: unknown };
  return typeof timestamp === 'string' ? { ...value, timestamp: new Date(timestamp) } : value;
}

function generatedOf(stored: JsonValue | undefined): Generated | undefined {
  const { result } = (stored === undefined ? {} : fromJsonValue(stored)) as { readonly result?: Generated };
  return result === undefined ? undefined : { ...result, response: withDate(result.response ?? {}) };
}

function partsOf(stored: JsonValue | undefined): Part[] | undefined {
  const { parts } = (stored === undefined ? {} : fromJsonValue(stored)) as { readonly parts?: Part[] };
  return parts?.map((part) => (part.type === 'response-metadata' ? withDate(part) : part));
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
