import { ContextCacheError, toError } from '../core/errors.ts';
import type { Report } from '../core/report.ts';
import { type Endpoint, endpointOfFile } from '../remote/endpoint.ts';
import { readServeFile, type ServeFile } from '../wire/serve-file.ts';
import { Holder, type HolderOptions, shareLock } from './holder.ts';
import { endHolder } from './hung.ts';
import { probe } from './probe.ts';

/** The parts of a {@link Keeper}. */
export interface KeeperOptions extends Omit<HolderOptions, 'signal'> {
  readonly report: Report;
}

/** Longest wait for an answer of a holder that does not share its directory, such as `context-cache serve`, milliseconds. */
const ANSWER_MS = 2_000;
/** Time that a process has from taking the lock to saying so in `serve.json`, milliseconds. */
const ANNOUNCE_MS = 2_000;

/**
 * Sees to it that a shared directory has a holder: finds the present one, ends one that hangs, and holds the directory
 * itself if no other process does.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #closing = new AbortController();
  #holder: Holder | undefined;
  #taking: Promise<unknown> | undefined;
  /** How long the holder with this token has been silent already, when its connection was given up. */
  #silence: { readonly token: string; readonly silentMs: number } | undefined;
  /** Set while a process has the lock and has not said that it listens: since when, by how many looks. */
  #unannounced: { readonly since: number; readonly looks: number } | undefined;
  /** The last reported failure to take the directory. */
  #failure = '';

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the address of the holder. If there is none, becomes the holder.
   *
   * @throws {ContextCacheError} `UNREACHABLE` if another process is taking the directory, or its holder hangs and cannot be
   *   ended; the errors of `Holder.take`.
   */
  async find(): Promise<Endpoint> {
    const { dataDir } = this.#options;
    const file = await readServeFile(dataDir);
    const isOwn = this.#holder !== undefined && file?.token === this.#holder.token;
    if (file !== undefined && (isOwn || (await this.#answers(file)))) {
      this.#unannounced = undefined;
      return this.#endpoint(file);
    }
    const taking = this.#take();
    this.#taking = taking.catch(() => {});
    return taking;
  }

  /** Ends the wait for a process that has the directory open. */
  stop(): void {
    this.#closing.abort(closed());
  }

  /** Hands the directory over if this process holds it. */
  async close(timeoutMs: number): Promise<void> {
    this.stop();
    await this.#taking;
    await this.#holder?.close(timeoutMs);
    this.#holder = undefined;
  }

  /** Resolves with whether the process answers. Ends one that hangs. */
  async #answers(file: ServeFile): Promise<boolean> {
    const { dataDir, clock } = this.#options;
    const { shared, pid } = file;
    const { url } = endpointOfFile(file, dataDir);
    const hungAfterMs = shared?.hungAfterMs ?? undefined;
    const silentMs = this.#silence?.token === file.token ? this.#silence.silentMs : 0;
    this.#silence = undefined;
    const waitMs = hungAfterMs === undefined ? ANSWER_MS : Math.max(hungAfterMs - silentMs, hungAfterMs / 5);
    const probed = await probe(url, waitMs, clock);
    if (probed === 'busy') throw opening(dataDir);
    if (probed !== 'silent') return probed === 'answers';
    const ended = hungAfterMs === undefined ? undefined : await endHolder(shareLock(dataDir), pid);
    if (ended !== undefined) {
      this.#say(`Process ${ended} held ${dataDir} and did not answer for ${hungAfterMs} ms. It was ended.`);
      return false;
    }
    const remedy = 'If it is paused, resume it; otherwise end it.';
    throw new ContextCacheError('UNREACHABLE', `Process ${pid} holds ${dataDir} and does not answer. ${remedy}`);
  }

  async #take(): Promise<Endpoint> {
    const { dataDir } = this.#options;
    if (this.#closing.signal.aborted) throw closed();
    try {
      // If this process held the directory, it has lost it.
      await this.#holder?.close(0);
      this.#holder = undefined;
      this.#holder = await Holder.take({ ...this.#options, signal: this.#closing.signal });
    } catch (thrown) {
      const error = toError(thrown);
      if (!(error instanceof ContextCacheError) || error.code !== 'DIRECTORY_LOCKED') {
        if (error.message !== this.#failure) this.#say(error.message, error);
        throw error;
      }
      await this.#lookAtLock();
      throw opening(dataDir, error);
    }
    this.#failure = '';
    const file = await readServeFile(dataDir);
    if (file === undefined) throw new ContextCacheError('UNREACHABLE', `serve.json of ${dataDir} has gone. Try again.`);
    return this.#endpoint(file);
  }

  #endpoint(file: ServeFile): Endpoint {
    const onSilence = (silentMs: number) => {
      this.#silence = { token: file.token, silentMs };
    };
    return { ...endpointOfFile(file, this.#options.dataDir), onSilence };
  }

  /** Ends a process that hangs between taking the lock and saying so, where no request can tell. */
  async #lookAtLock(): Promise<void> {
    const { clock, dataDir, shared } = this.#options;
    const { since, looks } = this.#unannounced ?? { since: clock.now(), looks: 0 };
    this.#unannounced = { since, looks: looks + 1 };
    // Looks as well as time: this process may have been paused itself.
    if (shared.hungAfterMs === null || looks < 10 || clock.now() - since < ANNOUNCE_MS) return;
    if ((await readServeFile(dataDir)) !== undefined) return;
    this.#unannounced = undefined;
    const ended = await endHolder(shareLock(dataDir));
    if (ended !== undefined) this.#say(`Process ${ended} took ${dataDir} and did not serve it. It was ended.`);
  }

  #say(message: string, error: Error = new ContextCacheError('UNREACHABLE', message)): void {
    this.#failure = message;
    this.#options.report(error, { source: 'connection' });
  }
}

function opening(dataDir: string, cause?: Error): ContextCacheError {
  const message = `Another process is opening or closing ${dataDir}. Try again.`;
  return new ContextCacheError('UNREACHABLE', message, { cause });
}

function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The shared cache is shut down.');
}
