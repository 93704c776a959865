import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { type Clock, elapsedBy, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { parseNatsAddress } from '../../followers/broadcast/nats-address.ts';
import { connectNats } from '../../followers/broadcast/nats-connect.ts';
import { ifFound, NO_PEERS, STORAGE_EXCEEDED } from './error-codes.ts';
import { CREATE_MS, type CreateJetStreamOptions, DEFAULT_MAX_BYTES, settingsOf } from './open-jetstream.ts';
import { checkServerVersion } from './server-version.ts';
import { type StreamNames, streamNames } from './stream-names.ts';
import { configOf } from './stream-settings.ts';

/** Milliseconds for which creating a stream is repeated after another one was deleted. Servers report freed space late. */
const FREED_MS = 30_000;
/** Milliseconds between two attempts to create a stream. */
const PAUSE_MS = 1_000;

/** How to replace the stream of a cluster. */
export interface ReplaceStreamOptions extends CreateJetStreamOptions {
  /** Names the new incarnation of the stream. */
  readonly epoch: string;
  /** The first message. A stream that cannot store it is removed again, because nodes would take it for an empty cluster. */
  readonly first: Uint8Array;
}

/**
 * Deletes the stream of a cluster if it exists, and creates another one that begins with the given message. If it exists, a trial
 * stream of another name shows before whether the servers can hold the new one. Needs a user who may use `$JS.API.STREAM.INFO`,
 * `DELETE` and `CREATE` for both, and publish commands.
 *
 * @throws {ContextCacheError} `BACKEND_FAILED` if the servers cannot hold the new stream, JetStream refuses, or a node that still runs
 *   wrote first; `UNREACHABLE`, `TIMED_OUT`, `INVALID_OPTION`.
 */
export async function replaceStream(options: ReplaceStreamOptions): Promise<void> {
  const { replicas = 3, maxBytes = DEFAULT_MAX_BYTES, clock = systemClock, epoch, first } = options;
  const names = streamNames(options.name);
  const address = parseNatsAddress(options.servers);
  const connection = await connectNats({
    address,
    settings: await settingsOf(options)(),
    name: options.clientName ?? 'agent-context-cache',
    timeoutMs: CREATE_MS,
    clock,
    signals: [],
  });
  try {
    checkServerVersion(connection.info?.version, connection.getServer());
    if (replicas > 1 && connection.info?.cluster === undefined) throw single(connection.getServer(), replicas);
    const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: CREATE_MS });
    await tryStream(manager, names, { replicas, maxBytes, clock });
    await ifFound(manager.streams.delete(names.stream));
    await addOnceFreed(manager, { ...configOf(names, { replicas, maxBytes, epoch }), name: names.stream }, clock);
    try {
      const js = jetstream(connection, { timeout: CREATE_MS });
      const { seq } = await js.publish(names.commands, first, { timeout: CREATE_MS });
      if (seq !== 1)
        throw new Error(`a node that still runs wrote before the first message, which became message ${seq}`);
    } catch (error) {
      await manager.streams.delete(names.stream).catch(() => undefined);
      throw error;
    }
  } catch (error) {
    if (error instanceof ContextCacheError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const message = `JetStream at ${address.shown} did not replace the stream ${names.stream}: ${reason}. Check that all nodes are stopped and most servers run, and that the user may delete and create streams and publish to ${names.commands}. Then repeat the call with replicas ${replicas} and a greatest size of ${maxBytes} bytes: the old stream, whose settings are the default, may be gone.`;
    throw new ContextCacheError('BACKEND_FAILED', message, { cause: error });
  } finally {
    await connection.close();
  }
}

/**
 * Creates a stream with as many replicas that takes as much space as the new one takes beyond the old one, and deletes it again. Does
 * nothing if there is no old stream, because nothing can be lost then.
 */
async function tryStream(
  manager: JetStreamManager,
  names: StreamNames,
  { replicas, maxBytes, clock }: { readonly replicas: number; readonly maxBytes: number; readonly clock: Clock },
): Promise<void> {
  const { streams } = manager;
  const { trial: name } = names;
  // One that an attempt before has left may have other settings.
  const wasLeft = (await ifFound(streams.delete(name))) !== undefined;
  const old = await ifFound(streams.info(names.stream)).catch(() => 'unknown' as const);
  if (old === undefined) return;
  const max_bytes = Math.max(1, maxBytes - freedBy(old, replicas, maxBytes));
  try {
    const storage = 'file' as const;
    const trial = { name, subjects: [names.trialSubject], storage, num_replicas: replicas, max_bytes };
    await (wasLeft ? addOnceFreed(manager, trial, clock) : streams.add(trial));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The servers cannot hold a stream with replicas ${replicas} and ${maxBytes} bytes: creating ${name} to try it failed: ${reason}. Nothing was deleted.`;
    const remedy = `Start more servers, give fewer replicas or bytes, or let the user create and delete ${name}.`;
    throw new ContextCacheError('BACKEND_FAILED', `${message} ${remedy}`, { cause: error });
  }
  await streams.delete(name);
}

/** Returns how many bytes of the new stream each of its servers gains at least when the old one is deleted. */
function freedBy(old: StreamInfo | 'unknown', replicas: number, maxBytes: number): number {
  // A stream without a leader does not say its size: the trial then shows only that there are enough servers.
  if (old === 'unknown') return maxBytes;
  // Servers that did not have the old stream gain nothing.
  if (replicas > old.config.num_replicas) return 0;
  return Math.max(0, old.config.max_bytes);
}

/** Creates a stream after another one was deleted. Repeats it while the servers lack space, because they report late what was freed. */
async function addOnceFreed(
  { streams }: JetStreamManager,
  config: Parameters<JetStreamManager['streams']['add']>[0],
  clock: Clock,
): Promise<void> {
  const until = elapsedBy(clock) + FREED_MS;
  for (;;) {
    try {
      await streams.add(config);
      return;
    } catch (error) {
      const { code } = error as { readonly code?: unknown };
      if ((code !== NO_PEERS && code !== STORAGE_EXCEEDED) || elapsedBy(clock) >= until) throw error;
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, PAUSE_MS));
  }
}

function single(server: string, replicas: number): ContextCacheError {
  const message = `replicas is ${replicas}, and the server ${server} runs alone. Nothing was deleted. Give replicas 1, or the servers of a cluster.`;
  return new ContextCacheError('INVALID_OPTION', message);
}
