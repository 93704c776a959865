import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  type Duration,
  fromJsonValue,
  type JsonValue,
  joinNamespace,
} from '../index.ts';
import { sdkError, sdkErrors } from './ai-sdk-error.ts';
import { CHUNK, type Chunk, STATE, type State, write } from './ai-sdk-stream-writer.ts';

/** Options of {@link resumableStreams}. */
export interface ResumableStreamsOptions {
  /** Namespace below which each stream has one of its own, as a name without `/` or as parts. Default `['ai-sdk', 'streams']`. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Time that a stream can be read after it was written: milliseconds, or a text. Default `'24h'`. */
  readonly ttl?: Duration | undefined;
  /** Milliseconds after which a stream counts as abandoned if its process gives no sign of life. Default 30,000, at least 100. */
  readonly abandonedAfterMs?: number | undefined;
}

/** Streams of text that can be read again from any position, by their ids. The methods are those of `resumable-stream`. */
export interface ResumableStreams {
  /**
   * Reads a stream to its end, whether or not there is a reader, and keeps it. Resolves, once it is being kept, with a stream of
   * the same text.
   *
   * @throws {AISDKError} (as a rejection) if there is a stream with this id that is neither over nor abandoned.
   */
  createNewResumableStream(id: string, make: () => ReadableStream<string>): Promise<ReadableStream<string>>;
  /**
   * Resolves with the text of a stream behind the first `skipCharacters`, and what follows; `null` if it is over and nothing
   * follows; `undefined` if there is no such stream. Characters are counted as by `length`.
   */
  resumeExistingStream(id: string, skipCharacters?: number): Promise<ReadableStream<string> | null | undefined>;
  /** Resumes the stream if it exists, else creates it. */
  resumableStream(
    id: string,
    make: () => ReadableStream<string>,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null>;
  /** Resolves with `true` for a stream that goes on, `'DONE'` for one that is over, `null` if there is none. */
  hasExistingStream(id: string): Promise<true | 'DONE' | null>;
}

const OPTIONS = optionNames<ResumableStreamsOptions>('resumableStreams', {
  namespace: true,
  ttl: true,
  abandonedAfterMs: true,
});

/**
 * Keeps the streams of answers in a cache, so that a client that has lost its connection reads on where it was: without
 * repetition and without a gap, in any process that reaches the cache, and after a restart.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 *
 * @example
 * ```ts
 * const streams = resumableStreams(cache);
 * result.toUIMessageStreamResponse({
 *   consumeSseStream: ({ stream }) => streams.createNewResumableStream(streamId, () => stream),
 * });
 * new Response(await streams.resumeExistingStream(streamId), { headers: UI_MESSAGE_STREAM_HEADERS });
 * ```
 */
export function resumableStreams(cache: ContextStore, options: ResumableStreamsOptions = {}): ResumableStreams {
  OPTIONS.check(options);
  if (typeof cache?.clearNamespace !== 'function')
    throw invalid('resumableStreams takes a cache, or a client of one, as its first argument.');
  const { namespace: given = ['ai-sdk', 'streams'], ttl = '24h', abandonedAfterMs = 30_000 } = options;
  if (!(Number.isFinite(abandonedAfterMs) && abandonedAfterMs >= 100))
    throw invalid('abandonedAfterMs must be a number of milliseconds from 100 up.');
  const base = typeof given === 'string' ? [given] : [...given];
  const nameOf = (id: string) => joinNamespace([...base, id]);
  nameOf('');

  async function create(id: string, make: () => ReadableStream<string>): Promise<ReadableStream<string>> {
    const namespace = await sdkErrors(() => nameOf(id));
    await sdkErrors(async () => {
      const entry = await cache.entry(STATE, namespace);
      if ((entry?.value as State | undefined)?.status === 'streaming')
        throw new ContextCacheError('VERSION_CONFLICT', `The stream ${id} is being written. Use another id.`);
      const old = await cache.listKeys(namespace, { prefix: CHUNK });
      // At once, so that of two processes only one begins, and neither removes what the other has written.
      const state = {
        key: STATE,
        value: { status: 'streaming' },
        ttl: abandonedAfterMs,
        ifVersion: entry?.version ?? 0,
      };
      await cache.batch(
        [...old.map((key) => ({ operation: 'delete', key }) as const), { operation: 'set', ...state }],
        namespace,
      );
    });
    void write(cache, namespace, make, { ttl, abandonedAfterMs });
    return read(cache, namespace, 0);
  }

  async function resume(id: string, skipCharacters = 0): Promise<ReadableStream<string> | null | undefined> {
    const namespace = await sdkErrors(() => nameOf(id));
    if (!(Number.isSafeInteger(skipCharacters) && skipCharacters >= 0))
      throw invalid('skipCharacters must be an integer from 0 up.');
    const state = await sdkErrors(() => stateOf(cache, namespace));
    if (state?.status === 'done' && skipCharacters >= state.characters) return null;
    if (state === undefined && !(await hasChunks(cache, namespace))) return undefined;
    return read(cache, namespace, skipCharacters);
  }

  return {
    createNewResumableStream: create,
    resumeExistingStream: resume,
    async resumableStream(id, make, skipCharacters) {
      const resumed = await resume(id, skipCharacters);
      return resumed === undefined ? create(id, make) : resumed;
    },
    async hasExistingStream(id) {
      const namespace = await sdkErrors(() => nameOf(id));
      const state = await sdkErrors(() => stateOf(cache, namespace));
      if (state === undefined) return (await hasChunks(cache, namespace)) ? 'DONE' : null;
      return state.status === 'streaming' ? true : 'DONE';
    },
  };
}

async function stateOf(cache: ContextStore, namespace: string): Promise<State | undefined> {
  return (await cache.get(STATE, namespace)) as State | undefined;
}

async function hasChunks(cache: ContextStore, namespace: string): Promise<boolean> {
  return (await sdkErrors(() => cache.listKeys(namespace, { prefix: CHUNK, limit: 1 }))).length > 0;
}

/** Returns the text of a stream from a position on. Reads nothing from the cache before it is read itself. */
function read(cache: ContextStore, namespace: string, from: number): ReadableStream<string> {
  const stopped = new AbortController();
  const texts = textsOf(cache, namespace, from, stopped.signal);
  const pull = async (controller: ReadableStreamDefaultController<string>) => {
    const { value, done } = await sdkErrors(() => texts.next());
    if (done) controller.close();
    else controller.enqueue(value);
  };
  return new ReadableStream<string>({ pull, cancel: () => stopped.abort() }, { highWaterMark: 0 });
}

async function* textsOf(
  cache: ContextStore,
  namespace: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  let position = from;
  const unread = ({ at, text }: Chunk): string => {
    const rest = text.slice(Math.max(0, position - at));
    position = Math.max(position, at + text.length);
    return rest;
  };
  while (!signal.aborted) {
    // Begins before the entries are read, so that nothing is missed between them. What both have is taken once.
    const watch = cache.watch({ namespace, signal });
    try {
      for await (const { value } of cache.entries(namespace, { prefix: CHUNK })) {
        const chunk = chunkOf(value);
        if (chunk.at > position) throw await sdkError('The start of this stream has expired.');
        const rest = unread(chunk);
        if (rest !== '') yield rest;
      }
      if (await isOver(await stateOf(cache, namespace), position)) return;
      for await (const { operation, key, value } of watch) {
        if (operation === 'set' && key?.startsWith(CHUNK)) {
          const chunk = chunkOf(value);
          // A client that has missed too much gets the entries in no particular order.
          if (chunk.at > position) break;
          const rest = unread(chunk);
          if (rest !== '') yield rest;
        } else if (key === STATE && operation !== 'touch') {
          const state = operation === 'set' ? (value as unknown as State) : undefined;
          if (await isOver(state, position)) return;
        }
      }
    } catch (error) {
      if (!(error instanceof ContextCacheError && error.code === 'WATCH_OVERFLOW')) throw error;
    } finally {
      await watch.return?.();
    }
  }
}

const chunkOf = (stored: JsonValue) => fromJsonValue(stored) as Chunk;

/** Returns whether everything up to the end was read. Throws if the stream ended in another way. */
async function isOver(state: State | undefined, position: number): Promise<boolean> {
  if (state === undefined) throw await sdkError('The process that wrote this stream has ended before the stream.');
  if (state.status === 'streaming' || position < state.characters) return false;
  if (state.status === 'failed') throw await sdkError(`The stream has failed: ${fromJsonValue(state.error ?? '')}`);
  return true;
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
