import type { StreamInfo as ServerStreamInfo } from '@nats-io/jetstream';
import { backOffMs } from '../../core/back-off.ts';
import { type Clock, elapsedBy } from '../../core/clock.ts';
import { pause, within } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import type { NatsAddress } from '../../followers/broadcast/nats-address.ts';
import { connectNats, type NatsConnectionSettings } from '../../followers/broadcast/nats-connect.ts';
import type { CommandStream, Following, StreamInfo, StreamMessage } from '../command-stream.ts';
import { Lasting } from './lasting.ts';
import { checkServerVersion } from './server-version.ts';
import { API_MS, askLeader } from './stream-api.ts';
import { StreamLink } from './stream-link.ts';
import type { StreamNames } from './stream-names.ts';
import { StreamProblems, type StreamUse } from './stream-problems.ts';
import { StreamReader } from './stream-reader.ts';
import { identityOf } from './stream-settings.ts';
import { syncsAlways } from './sync-setting.ts';

/** The parts of a {@link JetStreamStream}; `openJetStream` checks and completes them. */
export interface StreamParts {
  readonly names: StreamNames;
  readonly address: NatsAddress;
  readonly settings: () => NatsConnectionSettings | Promise<NatsConnectionSettings>;
  readonly clientName: string;
  readonly connectTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly monitors: readonly string[];
  readonly clock: Clock;
}

/** Milliseconds between two checks of the connection and of what is unacknowledged. */
const TICK_MS = 250;
/** Milliseconds without a message or acknowledgement after which the server is pinged. */
const QUIET_MS = 1_000;
/** Milliseconds that a server may take for the answer to a ping. A paused server is left after this time. */
const PING_MS = 2_000;
/** Milliseconds between two reads of the stream's ends. */
const INSPECT_MS = 5_000;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
/** Milliseconds that a connection must last to count as a success. One that dies at once would be made again without a pause. */
const LASTING_MS = 2_000;
/** Milliseconds for which the sync setting of the servers is remembered. */
const SYNC_AGE_MS = 60_000;

/** The stream of a cluster on JetStream. It connects again by itself, to another server if the present one does not answer. */
export class JetStreamStream implements CommandStream {
  onProblem: ((problem: ContextCacheError | undefined) => void) | undefined;
  readonly #parts: StreamParts;
  readonly #readers = new Set<StreamReader>();
  readonly #closing = new AbortController();
  readonly #problems = new StreamProblems((problem) => this.onProblem?.(problem));
  readonly #leader = new Lasting<string | undefined>();
  readonly #isMissing = new Lasting<boolean>();
  #link: StreamLink | undefined;
  #lastError: Error | undefined;
  #nextServer: number;
  #identity: string | undefined;
  #maxMessage = -1;
  #inspectedAt = 0;
  #pingedAt = 0;
  #isInspecting = false;
  #syncs: { readonly always: boolean | undefined; readonly at: number } | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: StreamParts) {
    this.#parts = parts;
    // Nodes that start together should not all go to the first server.
    this.#nextServer = Math.floor(parts.clock.now()) % parts.address.servers.length;
  }

  /**
   * Connects to one of the servers and checks the stream, then keeps the connection.
   *
   * @throws {ContextCacheError} the error of the last server if none can be used; the errors of {@link info}.
   */
  async start(): Promise<void> {
    let attempt = 0;
    for (;;) {
      try {
        await this.#connect();
        break;
      } catch (error) {
        attempt += 1;
        if (attempt >= this.#parts.address.servers.length || this.#closing.signal.aborted) {
          await this.close();
          throw error;
        }
      }
    }
    this.#running = this.#keep();
    try {
      const { first } = await this.info();
      // Detects a missing permission. Otherwise it would be noticed when the first message is missed.
      await this.#within(this.#usableLink().readOne(first), API_MS);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#tickLater();
  }

  get connected(): boolean {
    return this.#link?.down.aborted === false;
  }

  get problem(): ContextCacheError | undefined {
    return this.#problems.present;
  }

  async publish(message: Uint8Array): Promise<number> {
    const link = this.#usableLink();
    const limit = this.#maxBytes(link);
    if (message.length > limit) {
      const text = `A message of the cluster has ${message.length} bytes, and the stream takes ${limit}. Write less at a time, or raise max_payload at the servers.`;
      throw new ContextCacheError('INVALID_VALUE', text);
    }
    const received = new Map([...this.#readers].map((reader) => [reader, reader.received]));
    const sequence = await this.#noting('publishing', link.publish(message));
    for (const reader of this.#readers) {
      // A new message must be stored behind everything that had been received when it was sent.
      if (sequence <= (received.get(reader) ?? 0)) reader.rewound(sequence);
      else reader.acknowledged(sequence);
    }
    return sequence;
  }

  follow(
    after: number,
    receive: (message: StreamMessage) => void,
    failed: (error: ContextCacheError) => void,
  ): Following {
    const { names, clock } = this.#parts;
    const reader = new StreamReader(after, receive, failed, {
      names,
      elapsed: () => this.#elapsed(),
      link: () => this.#link,
      within: (work, ms) => this.#within(work, ms),
      later: (run, ms) => {
        clock.setTimeout(() => {
          if (!this.#closing.signal.aborted) run();
        }, ms);
      },
      ended: (each) => this.#readers.delete(each),
    });
    this.#readers.add(reader);
    if (this.#link !== undefined) void this.#resume([reader]);
    return reader;
  }

  async info(): Promise<StreamInfo> {
    const link = this.#usableLink();
    return this.#noting('asking', this.#info(link));
  }

  async #info(link: StreamLink): Promise<StreamInfo> {
    const readers = [...this.#readers].map((reader) => ({ reader, known: reader.known }));
    const { config, state, cluster } = await this.#serverInfo(link);
    const { epoch } = identityOf(this.#parts.names, config);
    this.#maxMessage = config.max_msg_size ?? -1;
    const isReplaced = this.#identity !== undefined && this.#identity !== epoch;
    this.#identity = epoch;
    const { first_seq: first, last_seq: last } = state;
    for (const { reader, known } of readers) {
      if (isReplaced) reader.replaced();
      else reader.inspect({ first, last }, known);
    }
    this.#inspectedAt = this.#elapsed();
    return {
      // The server says 0 for a stream that never had a message.
      first: first === 0 ? last + 1 : first,
      last,
      epoch,
      replicas: config.num_replicas,
      syncs: await this.#syncsAlways(config.num_replicas),
      serverVersion: link.serverVersion,
      maxBytes: this.#maxBytes(link),
      // One server alone has come to its end before it answers.
      isSettled: this.#leader.note(cluster?.leader, this.#elapsed()) || (cluster?.replicas ?? []).length === 0,
    };
  }

  async purge(upTo: number): Promise<void> {
    const { names } = this.#parts;
    if (!Number.isSafeInteger(upTo) || upTo < 1) return;
    const request = { subject: names.purge, payload: JSON.stringify({ seq: upTo + 1 }) };
    await askLeader(this.#usableLink(), names, request, (work, ms) => this.#within(work, ms));
  }

  async close(): Promise<void> {
    const cause = new ContextCacheError('CLOSED', `The stream of the cluster ${this.#parts.names.cluster} was closed.`);
    this.#closing.abort(cause);
    for (const reader of [...this.#readers]) reader.stop();
    await this.#link?.close(cause);
    await this.#running;
  }

  /** Keeps a connection until closed. */
  async #keep(): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const link = this.#link ?? (await this.#connect());
        const since = this.#elapsed();
        await ended(link);
        if (this.#elapsed() - since >= LASTING_MS) failures = 0;
        await link.close(toError(link.down.reason));
        this.#lastError = toError(link.down.reason);
      } catch (error) {
        this.#lastError = toError(error);
      }
      this.#problems.failed('connecting', this.#lastError);
      this.#link = undefined;
      failures += 1;
      await pause(clock, backOffMs(failures, FIRST_RETRY_MS, LONGEST_RETRY_MS), signal);
    }
  }

  /** Connects to the next server. */
  async #connect(): Promise<StreamLink> {
    const { names, address, settings: settingsOf, clientName, connectTimeoutMs, clock } = this.#parts;
    const server = address.servers[this.#nextServer % address.servers.length] as string;
    this.#nextServer += 1;
    const settings = await settingsOf();
    const { createInbox } = await import('@nats-io/transport-node');
    const connection = await connectNats({
      address: { ...address, servers: [server], shown: server },
      settings,
      name: clientName,
      timeoutMs: connectTimeoutMs,
      clock,
      signals: [this.#closing.signal],
    });
    try {
      checkServerVersion(connection.info?.version, server);
      this.#closing.signal.throwIfAborted();
    } catch (error) {
      await connection.close();
      throw error;
    }
    const hear = (message: StreamMessage) => {
      if (this.#link === link) for (const reader of this.#readers) reader.hear(message);
    };
    const link: StreamLink = new StreamLink(connection, names, createInbox(settings.inboxPrefix), hear, () =>
      this.#elapsed(),
    );
    this.#link = link;
    void this.#resume([...this.#readers]);
    return link;
  }

  /** Lets readers go on with a new link, once its stream is known to be the same incarnation. */
  async #resume(readers: readonly StreamReader[]): Promise<void> {
    if (readers.length === 0) return;
    // Without a leader, stored messages can be read; the ends of the stream are read again at a later tick.
    await this.info().catch(() => undefined);
    await Promise.all(readers.map((reader) => reader.resume()));
  }

  #tickLater(): void {
    const { clock } = this.#parts;
    const timer = clock.setTimeout(() => {
      if (this.#closing.signal.aborted) return;
      this.#tick();
      this.#tickLater();
    }, TICK_MS);
    clock.unref?.(timer);
  }

  #tick(): void {
    const link = this.#link;
    if (link === undefined) return;
    const { publishTimeoutMs } = this.#parts;
    const now = this.#elapsed();
    if (link.expire(publishTimeoutMs) > 0 && now - link.heardAt >= publishTimeoutMs) {
      // This server may be cut off from the others.
      void link.close(stalled(link.server, `nothing was acknowledged for ${publishTimeoutMs} ms`));
      return;
    }
    if (now - link.heardAt >= QUIET_MS && now - this.#pingedAt >= QUIET_MS) this.#ping(link, now);
    for (const reader of this.#readers) reader.poll();
    const isSuspicious = this.#isMissing.answer === true || [...this.#readers].some((reader) => reader.isSuspicious);
    if (isSuspicious || now - this.#inspectedAt >= INSPECT_MS) void this.#inspect();
  }

  #ping(link: StreamLink, now: number): void {
    this.#pingedAt = now;
    let isAnswered = false;
    const answer = link.ping().then(() => {
      isAnswered = true;
    });
    this.#within(answer, PING_MS).catch(() => {
      // After a long turn of this process the timer comes before an answer that has already arrived: read that first.
      this.#parts.clock.setTimeout(() => {
        if (isAnswered || this.#closing.signal.aborted) return;
        void link.close(stalled(link.server, `a ping was not answered within ${PING_MS} ms`));
      }, TICK_MS);
    });
  }

  async #inspect(): Promise<void> {
    if (this.#isInspecting || this.#readers.size === 0) return;
    this.#isInspecting = true;
    try {
      await this.info();
    } catch (error) {
      this.#lastError = toError(error);
    } finally {
      this.#inspectedAt = this.#elapsed();
      this.#isInspecting = false;
    }
  }

  async #serverInfo(link: StreamLink): Promise<ServerStreamInfo> {
    const { names } = this.#parts;
    const request = { subject: names.info, payload: '' };
    try {
      const info = await askLeader(link, names, request, (work, ms) => this.#within(work, ms));
      this.#isMissing.note(false, this.#elapsed());
      return info as ServerStreamInfo;
    } catch (error) {
      const isMissing = error instanceof ContextCacheError && error.code === 'NOT_FOUND';
      if (this.#isMissing.note(isMissing, this.#elapsed()) && isMissing) {
        for (const reader of [...this.#readers]) reader.deleted();
      }
      throw error;
    }
  }

  /** Notes whether a use of the stream works. */
  async #noting<Result>(use: StreamUse, work: Promise<Result>): Promise<Result> {
    try {
      const result = await work;
      this.#problems.worked(use);
      // Whatever was wrong with the connection, it is used now.
      this.#problems.worked('connecting');
      return result;
    } catch (error) {
      this.#problems.failed(use, error);
      throw error;
    }
  }

  async #syncsAlways(replicas: number): Promise<boolean | undefined> {
    const now = this.#elapsed();
    if (this.#syncs === undefined || now - this.#syncs.at >= SYNC_AGE_MS) {
      this.#syncs = { always: await syncsAlways(this.#parts.monitors, replicas, this.#parts.clock), at: now };
    }
    return this.#syncs.always;
  }

  #maxBytes(link: StreamLink): number {
    return this.#maxMessage > 0 ? Math.min(this.#maxMessage, link.maxPayload) : link.maxPayload;
  }

  #usableLink(): StreamLink {
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    if (this.#link !== undefined && !this.#link.down.aborted) return this.#link;
    const { address } = this.#parts;
    const message = `There is no connection to NATS at ${address.shown}. It is made again. Nothing was sent.`;
    throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause: this.#lastError });
  }

  #elapsed(): number {
    return elapsedBy(this.#parts.clock);
  }

  #within<Result>(work: Promise<Result>, timeoutMs: number): Promise<Result> {
    const timedOut = () => new ContextCacheError('TIMED_OUT', `NATS did not answer within ${timeoutMs} ms.`);
    return within(work, { clock: this.#parts.clock, timeoutMs, timedOut, signals: [this.#closing.signal] });
  }
}

function stalled(server: string, problem: string): ContextCacheError {
  return new ContextCacheError('UNREACHABLE', `NATS at ${server} is not usable: ${problem}. Another server is tried.`);
}

function ended({ down }: StreamLink): Promise<void> {
  if (down.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    down.addEventListener('abort', () => resolve(), { once: true });
  });
}
