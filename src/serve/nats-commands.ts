import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { backOffMs } from '../core/back-off.ts';
import { pause } from '../core/deadline.ts';
import { originOf } from '../core/origin.ts';
import { type AgentContextCache, type Clock, ContextCacheError, type ContextCommand, systemClock } from '../index.ts';
import { connectNats, type NatsConnectionSettings, parseNatsAddress } from '../nats.ts';
import { decodeUtf8, parseJson } from '../wire/lines.ts';
import { wireAnswer, wireError } from '../wire/wire-error.ts';
import { asAgent, reachesOutside } from './apply-lines.ts';

/** Options of {@link answerNatsCommands}. Give either `url` or `connection`. */
export interface NatsCommandsOptions {
  readonly cache: AgentContextCache;
  /** Server to connect to. A lost connection is replaced until closed. */
  readonly url?: string | readonly string[] | undefined;
  /** Credentials and TLS settings, in addition to those of the URL. */
  readonly credentials?: NatsConnectionSettings | undefined;
  /** An open connection of the caller. It is left open, and not replaced if it is lost. */
  readonly connection?: NatsConnection | undefined;
  /** Subject to take commands from. Default `context-cache.commands`. */
  readonly subject?: string | undefined;
  /** Queue group: each command reaches one member. Default: none. */
  readonly queue?: string | undefined;
  /**
   * Prefix that a reply subject must have. Without one, any sender could make this program write into other subjects and
   * streams in its name. Default `_INBOX.`.
   */
  readonly replyPrefix?: string | undefined;
  /**
   * Agent that all commands come from, and whose grants count; `null`: the owner of the cache, who may do everything. Every
   * publisher on the subject acts as that agent. Default: none. Commands then name their agents themselves, which nothing proves, so
   * they are refused with `FORBIDDEN` while the cache has grants.
   */
  readonly agent?: string | null | undefined;
  /** Most commands in flight; further ones are refused with `OVERLOADED`. Default 1,024. */
  readonly maxInFlight?: number | undefined;
  /** Called with lost connections and refused messages. Default: they are not reported. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

/** A running consumer of commands from NATS. */
export interface NatsCommands {
  /** Resolves when commands are taken for the first time. Never rejects. */
  readonly ready: Promise<void>;
  /** Takes no more commands, answers those in flight, and closes its connection. May be called twice. */
  close(): Promise<void>;
}

const DEFAULT_SUBJECT = 'context-cache.commands';
const CONNECT_TIMEOUT_MS = 5_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** Longest wait for commands in flight and a stalled server on closing, milliseconds. */
const LAST_ANSWERS_MS = 2_000;

/**
 * Answers typed commands that arrive as NATS requests, JSON on a subject, so that a program in any language can use the
 * cache. The answer is `{"ok": …}` (with `"found": false` for a missing key) or `{"error": {"code", "message"}}`. A message
 * without a reply subject is executed and not answered; one whose reply subject does not start with `replyPrefix` is
 * ignored.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 *
 * @example
 * ```ts
 * const commands = answerNatsCommands({ cache, url: 'nats://127.0.0.1:4222' });
 * // nats request context-cache.commands '{"type":"context.get","key":"plan"}'
 * await commands.close();
 * ```
 */
export function answerNatsCommands(options: NatsCommandsOptions): NatsCommands {
  const { url, connection } = options;
  if ((url === undefined) === (connection === undefined)) {
    throw new ContextCacheError('INVALID_OPTION', 'Give either a url or a connection to take commands from.');
  }
  return new Responder(options);
}

class Responder implements NatsCommands {
  readonly ready: Promise<void>;
  readonly #options: NatsCommandsOptions;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #closed: Promise<void>;
  readonly #inFlight = new Set<Promise<void>>();
  #isReady = (): void => {};
  /** Failed attempts to take commands, in a row. */
  #failures = 0;

  constructor(options: NatsCommandsOptions) {
    if (typeof options.agent === 'string') originOf({ agent: options.agent });
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    this.#closed = new Promise((resolve) => {
      this.#closing.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const { connection, url = [] } = options;
    // Checked here, so that the caller gets the error of a wrong URL.
    const connect = connection === undefined ? this.#connector(url) : undefined;
    this.#running =
      connect === undefined
        ? this.#serve(connection as NatsConnection).catch((error) => this.#report(error))
        : this.#keepServing(connect);
  }

  async close(): Promise<void> {
    this.#closing.abort(new ContextCacheError('CLOSED', 'No more commands are taken.'));
    await this.#running;
  }

  #connector(url: string | readonly string[]): () => Promise<NatsConnection> {
    const address = parseNatsAddress(url);
    const { credentials = {} } = this.#options;
    return () =>
      connectNats({
        address,
        settings: credentials,
        name: 'agent-context-cache commands',
        timeoutMs: CONNECT_TIMEOUT_MS,
        clock: this.#clock,
        signals: [this.#closing.signal],
      });
  }

  /** Replaces a lost connection by a new one, which reads the credentials again and has no old state. */
  async #keepServing(connect: () => Promise<NatsConnection>): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        const connection = await connect();
        try {
          await this.#serve(connection);
        } finally {
          await connection.close();
        }
      } catch (error) {
        if (this.#failures === 0) this.#report(error);
        this.#failures += 1;
      }
      await pause(this.#clock, backOffMs(this.#failures + 1, FIRST_RETRY_MS, LONGEST_RETRY_MS), this.#closing.signal);
    }
  }

  /** Takes commands until the connection ends or this is closed. */
  async #serve(connection: NatsConnection): Promise<void> {
    const { subject = DEFAULT_SUBJECT, queue } = this.#options;
    const subscription = connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error === null) this.#take(connection, message);
        else this.#report(error);
      },
    });
    const ended = Promise.race([connection.closed(), subscription.closed, this.#closed]);
    // A refused subscription has ended before the server confirms the flush.
    const taken = connection.flush().then(() => {
      if (subscription.isClosed()) return;
      this.#failures = 0;
      this.#isReady();
    });
    await Promise.race([taken.catch(() => {}), ended]);
    const reason = await ended;
    if (!connection.isClosed()) await this.#within(LAST_ANSWERS_MS, this.#finish(connection, subscription));
    if (reason instanceof Error) throw reason;
  }

  async #finish(connection: NatsConnection, subscription: Subscription): Promise<void> {
    try {
      if (!subscription.isClosed()) await subscription.drain();
      await Promise.all(this.#inFlight);
      await connection.flush();
    } catch {
      // The connection is gone, and the callers with it.
    }
  }

  #take(connection: NatsConnection, message: Msg): void {
    const { replyPrefix = '_INBOX.', maxInFlight = 1_024 } = this.#options;
    const { reply } = message;
    if (reply && !reply.startsWith(replyPrefix)) {
      const problem = `A command was ignored, because its reply subject does not start with ${replyPrefix}. Use an inbox, or set replyPrefix.`;
      this.#report(new ContextCacheError('INVALID_COMMAND', problem));
      return;
    }
    if (this.#inFlight.size >= maxInFlight) {
      const full = `${maxInFlight} commands are in flight. Nothing has changed; try again.`;
      this.#reply(connection, message, { error: wireError(new ContextCacheError('OVERLOADED', full)) });
      return;
    }
    const handling = this.#handle(connection, message).finally(() => this.#inFlight.delete(handling));
    this.#inFlight.add(handling);
  }

  async #handle(connection: NatsConnection, message: Msg): Promise<void> {
    try {
      const command = parseJson(decodeUtf8(message.data)) as ContextCommand;
      refuseOutside(command);
      const answer: unknown = await this.#ask(command);
      this.#reply(connection, message, wireAnswer(command.type, answer));
    } catch (error) {
      if (message.reply) this.#reply(connection, message, { error: wireError(error) });
      else this.#report(error);
    }
  }

  #ask(command: ContextCommand): Promise<unknown> {
    const { cache, agent } = this.#options;
    if (typeof agent === 'string') return cache.forAgent(agent).ask(asAgent(agent, command));
    if (agent === null || cache.getGrants().length === 0) return cache.ask(command);
    const remedy = 'Set the agent of answerNatsCommands, or --commands-agent of context-cache serve.';
    throw new ContextCacheError('FORBIDDEN', `The cache has grants, and NATS does not prove who asks. ${remedy}`);
  }

  #reply(connection: NatsConnection, message: Msg, answer: unknown): void {
    if (!message.reply || connection.isClosed()) return;
    const payload = Buffer.from(JSON.stringify(answer));
    const limit = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (payload.length <= limit) {
      message.respond(payload);
      return;
    }
    const problem = `The answer has ${payload.length} bytes, and the NATS server takes ${limit}. Send the command over HTTP.`;
    message.respond(JSON.stringify({ error: wireError(new ContextCacheError('BACKEND_FAILED', problem)) }));
  }

  #report(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
  }

  /** Resolves when the work is done or the time has passed. */
  async #within(ms: number, work: Promise<void>): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.setTimeout(resolve, ms);
    });
    await Promise.race([work, late]);
    this.#clock.clearTimeout(timer);
  }
}

/** Refuses what a publisher must not choose. */
function refuseOutside(command: ContextCommand | null): void {
  if (command === null || !reachesOutside(command)) return;
  const problem =
    'cache.verify takes no "against" over NATS. Send it over HTTP, or run context-cache verify --against.';
  throw new ContextCacheError('INVALID_COMMAND', problem);
}
