import { Agent, type ClientRequest, type IncomingMessage, request as sendRequest } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { SnapshotInfo } from '../backup.ts';
import { type CacheHealth, type Clock, ContextCacheError, type ContextCommand, systemClock } from '../index.ts';
import { decodeUtf8, parseJson, splitLines } from '../wire/lines.ts';
import { positionText } from '../wire/position.ts';
import type { ServeFile } from '../wire/serve-file.ts';
import { errorOf, type WireAnswer, type WireError } from '../wire/wire-error.ts';
import type { ApplySummary } from './apply-lines.ts';
import type { DiffRange, DumpRange, LogRange } from './json-lines.ts';

/** Filter of a watch; see `WatchOptions` of the cache. */
export interface WatchQuery {
  readonly namespaces: readonly string[];
  readonly keys: readonly string[];
  readonly since?: number | undefined;
  readonly snapshot: boolean;
}

/** Options of {@link HttpClient.apply}. */
export interface RemoteApplyOptions {
  readonly keepGoing: boolean;
  /** Acknowledge each command that succeeds. Failures are always reported. */
  readonly acknowledges: boolean;
  readonly signal?: AbortSignal;
}

/** A line of the answer to a stream of commands. */
export type ApplyLine =
  | { readonly line: number; readonly position: number }
  | { readonly line: number; readonly error: WireError }
  | { readonly summary: ApplySummary };

/** An inspector in another process. */
export interface RemoteInspector {
  /** Address for a browser; contains the token. */
  readonly url: string;
  /** Resolves when the inspector has ended; rejects if its process dies. */
  readonly ended: Promise<void>;
}

interface Send {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly type?: string;
  readonly body?: Readable;
  readonly signal?: AbortSignal | undefined;
}

/** Longest wait for the first answer of the other process, milliseconds. */
const GREETING_MS = 5_000;
const STREAM = 'application/x-ndjson';

/** A cache that another process serves (see `HttpServer`). */
export class HttpClient {
  readonly #server: ServeFile;
  readonly #clock: Clock;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(server: ServeFile, clock: Clock = systemClock) {
    this.#server = server;
    this.#clock = clock;
  }

  /** Returns whether the process answers and accepts the token. */
  async answers(): Promise<boolean> {
    const late = new AbortController();
    const timer = this.#clock.setTimeout(() => late.abort(), GREETING_MS);
    try {
      await this.#json({ method: 'GET', path: '/v1/health', signal: late.signal });
      return true;
    } catch (error) {
      if (late.signal.aborted) {
        const message = `Process ${this.#server.pid} serves the directory but does not answer. If it is paused, resume it; otherwise end it.`;
        throw new ContextCacheError('UNREACHABLE', message, { cause: error });
      }
      return false;
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }

  /**
   * Executes a command and resolves with its answer, as `ask` of the cache does.
   *
   * @throws {ContextCacheError} the error of the cache; `OUTCOME_UNKNOWN` if the process dies before it answers.
   */
  async ask(command: ContextCommand): Promise<unknown> {
    const body = Readable.from([Buffer.from(JSON.stringify(command))]);
    const answer = (await this.#json({
      method: 'POST',
      path: '/v1/command',
      type: 'application/json',
      body,
    })) as WireAnswer;
    if ('error' in answer) throw errorOf(answer.error);
    return answer.found === false ? undefined : answer.ok;
  }

  health(): Promise<CacheHealth> {
    return this.#json({ method: 'GET', path: '/v1/health' }) as Promise<CacheHealth>;
  }

  snapshots(): Promise<SnapshotInfo[]> {
    return this.#json({ method: 'GET', path: '/v1/snapshots' }) as Promise<SnapshotInfo[]>;
  }

  /** Yields entries, a line each, as bytes. */
  dump({ at, namespace }: DumpRange): AsyncIterable<Buffer> {
    return this.#lines(`/v1/dump?${query({ at: at === undefined ? at : positionText(at), namespace })}`);
  }

  /** Yields the versions of an entry, newest first, a line each, as bytes. */
  history(key: string, namespace?: string): AsyncIterable<Buffer> {
    return this.#lines(`/v1/history?${query({ key, namespace })}`);
  }

  /** Yields the entries that differ between two views, a line each, as bytes. */
  diff({ a, b, namespace }: DiffRange): AsyncIterable<Buffer> {
    return this.#lines(`/v1/diff?${query({ a: positionText(a), b: positionText(b), namespace })}`);
  }

  /** Yields updates, a line each, as bytes. */
  log({ from, to, namespace }: LogRange): AsyncIterable<Buffer> {
    return this.#lines(`/v1/log?${query({ from, to, namespace })}`);
  }

  /** Yields updates as they happen, a line each, as bytes. */
  watch({ namespaces, keys, since, snapshot }: WatchQuery, signal: AbortSignal): AsyncIterable<Buffer> {
    const asked = query({ since, snapshot: snapshot || undefined });
    for (const namespace of namespaces) asked.append('namespace', namespace);
    for (const key of keys) asked.append('key', key);
    return this.#lines(`/v1/watch?${asked}`, signal);
  }

  /**
   * Opens an inspector in the other process until the signal is aborted.
   *
   * @throws {ContextCacheError} the errors of `startInspector`; `NOT_FOUND` if the process has no inspector.
   */
  async inspect(options: object, signal: AbortSignal): Promise<RemoteInspector> {
    const body = Readable.from([Buffer.from(JSON.stringify(options))]);
    const send = { method: 'POST', path: '/v1/inspect', type: 'application/json', body, signal } as const;
    const answer = splitLines(unbroken(await this.#send(send), signal));
    const { value: [first] = [] } = await answer.next();
    const { url } = parseJson(first?.text ?? '') as { url: string };
    const ended = (async () => {
      for await (const _ of answer);
    })();
    // The caller may await it later.
    ended.catch(() => {});
    return { url, ended };
  }

  /** Sends commands, a line each, and yields the lines of the answer, one chunk at a time. */
  async *apply(body: Readable, options: RemoteApplyOptions): AsyncGenerator<ApplyLine[]> {
    const { keepGoing, acknowledges, signal } = options;
    const path = `/v1/apply?keepGoing=${keepGoing}&acks=${acknowledges}`;
    const response = await this.#send({ method: 'POST', path, type: STREAM, body, signal });
    try {
      yield* this.#applyLines(unbroken(response, signal));
    } finally {
      // The answer may be complete before all lines were sent.
      body.destroy();
    }
  }

  async *#applyLines(answer: AsyncIterable<Buffer>): AsyncGenerator<ApplyLine[]> {
    for await (const lines of splitLines(answer)) {
      const parsed = lines.map(({ text }) => parseJson(text ?? '') as ApplyLine);
      const last = parsed.at(-1);
      if (last !== undefined && 'error' in last && !('line' in last)) {
        if (parsed.length > 1) yield parsed.slice(0, -1);
        throw errorOf((last as { error: WireError }).error);
      }
      yield parsed;
    }
  }

  /** Closes the connections. */
  close(): void {
    this.#agent.destroy();
  }

  async *#lines(path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const response = await this.#send({ method: 'GET', path, signal });
    yield* withoutErrorLine(unbroken(response, signal));
  }

  async #json(send: Send): Promise<unknown> {
    return parseJson(decodeUtf8(await readAll(unbroken(await this.#send(send)))));
  }

  /** Resolves with the answer when it starts. */
  async #send({ method, path, type, body, signal }: Send): Promise<IncomingMessage> {
    const { port, token } = this.#server;
    const headers = { authorization: `Bearer ${token}`, ...(type === undefined ? {} : { 'content-type': type }) };
    const request = sendRequest({ host: '127.0.0.1', port, method, path, headers, agent: this.#agent, signal });
    const answered = response(request);
    if (body === undefined) request.end();
    // A failure shows in the answer, or in its absence.
    else pipeline(body, request, () => {});
    const message = await answered;
    const { statusCode = 0 } = message;
    if (statusCode < 300) return message;
    const { error } = parseJson(decodeUtf8(await readAll(unbroken(message)))) as { error: WireError };
    throw errorOf(error);
  }
}

function response(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    // Never removed: the connection may fail again after the answer has started.
    request.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.name === 'AbortError') reject(cause);
      else if (cause.code === 'ECONNREFUSED') reject(gone('UNREACHABLE', 'cannot be reached', cause));
      else reject(gone('OUTCOME_UNKNOWN', 'ended before it answered', cause));
    });
  });
}

function gone(code: 'UNREACHABLE' | 'OUTCOME_UNKNOWN', what: string, cause: unknown): ContextCacheError {
  const remedy = 'Check that it runs, and read the present values before you try again.';
  return new ContextCacheError(code, `The process that serves the directory ${what}. ${remedy}`, { cause });
}

/** Passes on the bytes of an answer. Throws if it is cut off; ends quietly if the caller aborted it. */
async function* unbroken(message: IncomingMessage, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    yield* message;
  } catch (cause) {
    if (signal?.aborted) return;
    throw gone('OUTCOME_UNKNOWN', 'ended while it answered', cause);
  }
}

const ERROR_LINE = Buffer.from('{"error":');
const NEWLINE = 0x0a;

/** Takes an error out of the end of an answer. It is the last line, and no other line looks like it. */
async function* withoutErrorLine(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  /** Start of a line that may turn out to be an error. */
  let held = Buffer.alloc(0);
  let midLine = false;
  for await (const chunk of chunks) {
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const start = lastLineStart(data);
    const tail = data.subarray(start);
    if ((start > 0 || !midLine) && mayBeError(tail)) {
      held = Buffer.from(tail);
      midLine = false;
      if (start > 0) yield data.subarray(0, start);
      continue;
    }
    held = Buffer.alloc(0);
    midLine = data.at(-1) !== NEWLINE;
    yield data;
  }
  if (held.length > 0) throw errorOf((parseJson(decodeUtf8(held)) as { error: WireError }).error);
}

function lastLineStart(data: Buffer): number {
  return data.length < 2 ? 0 : data.lastIndexOf(NEWLINE, data.length - 2) + 1;
}

function mayBeError(line: Buffer): boolean {
  const length = Math.min(line.length, ERROR_LINE.length);
  return length > 0 && line.subarray(0, length).equals(ERROR_LINE.subarray(0, length));
}

async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

function query(fields: Readonly<Record<string, string | number | boolean | undefined>>): URLSearchParams {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]));
}
