import { type ClientRequest, type IncomingMessage, request as sendPlainly } from 'node:http';
import { request as sendSecurely } from 'node:https';
import { pipeline, Readable } from 'node:stream';
import { ContextCacheError } from '../index.ts';
import { decodeUtf8, parseJson, splitLines } from '../wire/lines.ts';
import type { ServeFile } from '../wire/serve-file.ts';
import { errorOf, type WireError } from '../wire/wire-error.ts';
import type { ApplySummary } from './apply-lines.ts';

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
  readonly path: string;
  readonly type: string;
  readonly body: Readable;
  readonly signal?: AbortSignal | undefined;
}

const STREAM = 'application/x-ndjson';

/**
 * Requests to a server that a connected client does not make: a file of commands, sent as it is, and an inspector there.
 */
export class HttpClient {
  readonly #server: ServeFile;

  constructor(server: ServeFile) {
    this.#server = server;
  }

  /**
   * Opens an inspector in the other process until the signal is aborted.
   *
   * @throws {ContextCacheError} the errors of `startInspector`; `NOT_FOUND` if the process has no inspector.
   */
  async inspect(options: object, signal: AbortSignal): Promise<RemoteInspector> {
    const body = Readable.from([Buffer.from(JSON.stringify(options))]);
    const send = { path: '/v1/inspect', type: 'application/json', body, signal } as const;
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
    const response = await this.#send({ path, type: STREAM, body, signal });
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

  /** Resolves with the answer when it starts. */
  async #send({ path, type, body, signal }: Send): Promise<IncomingMessage> {
    const { host = '127.0.0.1', port, token, tls = false } = this.#server;
    const method = 'POST';
    const headers = { authorization: `Bearer ${token}`, 'content-type': type };
    // The file, which only this user can write, vouches for the certificate.
    const options = { host, port, method, path, headers, signal, agent: false, rejectUnauthorized: false } as const;
    const request = tls ? sendSecurely(options) : sendPlainly(options);
    const answered = response(request);
    // A failure shows in the answer, or in its absence.
    pipeline(body, request, () => {});
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

async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}
