import type { Clock } from '../core/clock.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { ValueLimits } from '../core/value.ts';
import type { NatsConnectionSettings } from '../followers/broadcast/nats-connect.ts';
import type { CandidateBatch } from './candidate.ts';
import type { RawRecord } from './record.ts';

/**
 * What a replay reads:
 * - the path of a file: an exported log (`context-cache log`), or messages captured from a topic (`nats sub`);
 * - the path of a data directory that no process has open; it is not changed;
 * - the same text as bytes, or as an iterable: strings are whole lines, bytes are pieces of a file (`process.stdin`);
 * - updates as an iterable (`cache.readLog()`), or the objects that such lines hold;
 * - a JetStream stream.
 */
export type ReplaySource = string | Uint8Array | ReplayIterable | StreamSource;

/** Lines, pieces of a file, or records. */
export type ReplayIterable =
  | AsyncIterable<string | Uint8Array | Update | RawRecord>
  | Iterable<string | Uint8Array | Update | RawRecord>;

/** A JetStream stream that listens to a topic, from its first message to the last one at the time of the call. */
export interface StreamSource {
  /** As `natsUrl` of the cache. */
  readonly natsUrl: string | readonly string[];
  readonly stream: string;
  /** Only messages of this subject, which may have wildcards. Default: all of the stream. */
  readonly subject?: string | undefined;
  /** Credentials and TLS. Default: those of the URL. */
  readonly connection?: NatsConnectionSettings | undefined;
  /** How long the server may be silent, milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined;
}

/** How sources are opened. */
export interface SourceSettings {
  readonly limits: ValueLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Only the updates are wanted: whoever replays has the state that they follow. */
  readonly updatesOnly: boolean;
}

/** A state that a replay begins with. */
export interface ReplayBase {
  /** The last update that is in it. */
  readonly position: number;
  readonly states: readonly NamespaceState[];
  /** The log that the position belongs to, where that is known. */
  readonly log?: string | undefined;
}

/** An open source, read once. */
export interface RecordSource extends AsyncDisposable {
  /** Where its log does not go back to the beginning: the state that its later updates follow. */
  readonly base?: ReplayBase | undefined;
  /** Id of the log, where all of the source is known to be of one. */
  readonly log?: string | undefined;
  /** Whether the same record coming again is in its nature; known with the first batch. */
  readonly repeats: boolean;
  batches(): AsyncIterable<CandidateBatch>;
}
