import type { Clock } from '../core/clock.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import type { Remembered } from '../core/remembered.ts';
import type { Update } from '../core/update.ts';
import type { ValueLimits } from '../core/value.ts';
import type { NatsConnectionSettings } from '../followers/broadcast/nats-connect.ts';
import type { CandidateBatch } from './candidate.ts';
import type { RawRecord } from './record.ts';

/**
 * Source of a replay:
 * - the path of a file: an exported log (`context-cache log`), or messages captured from a topic (`nats sub`);
 * - the path of a data directory that no process has open, which is not changed;
 * - the same text as bytes, or as an iterable: strings are whole lines, bytes are pieces of a file (`process.stdin`);
 * - an iterable of updates (`cache.readLog()`), or of the objects that such lines contain;
 * - a JetStream stream.
 */
export type ReplaySource = string | Uint8Array | ReplayIterable | StreamSource;

/** Lines, pieces of a file, or records. */
export type ReplayIterable =
  | AsyncIterable<string | Uint8Array | Update | RawRecord>
  | Iterable<string | Uint8Array | Update | RawRecord>;

/** A JetStream stream that listens to a topic. Read from its first message to the last one at the time of the call. */
export interface StreamSource {
  /** One or more NATS servers, given like `natsUrl` of the cache. */
  readonly natsUrl: string | readonly string[];
  readonly stream: string;
  /** Reads only messages of this subject, which may contain wildcards. Default: all messages of the stream. */
  readonly subject?: string | undefined;
  /** Credentials and TLS. Default: those of the URL. */
  readonly connection?: NatsConnectionSettings | undefined;
  /** Milliseconds that the server may be silent. Default 10,000. */
  readonly timeoutMs?: number | undefined;
}

/** Options for opening a source. */
export interface SourceSettings {
  readonly limits: ValueLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** `true` if the caller has the state that the updates follow. */
  readonly updatesOnly: boolean;
}

/** A state that a replay starts from, with what was remembered there as far as it is known. */
export interface ReplayBase extends Remembered {
  /** Position of the last update that it contains. */
  readonly position: number;
  readonly states: readonly NamespaceState[];
  /** The log that the position belongs to; `undefined` if it is not known. */
  readonly log?: string | undefined;
}

/** An open source, read once. */
export interface RecordSource extends AsyncDisposable {
  /** The state that the first update follows; `undefined` if the log goes back to its start. */
  readonly base?: ReplayBase | undefined;
  /** Id of the log; `undefined` if the source may contain records of several logs. */
  readonly log?: string | undefined;
  /** `true` if the source may repeat a record. Known with the first batch. */
  readonly repeats: boolean;
  batches(): AsyncIterable<CandidateBatch>;
}
