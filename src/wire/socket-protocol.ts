import type { Basis } from '../core/basis.ts';
import type { Meta } from '../core/meta.ts';
import type { RangeOptions } from '../core/range.ts';
import type { JsonValue } from '../core/value.ts';

/**
 * The protocol between a server and its clients, over a WebSocket at {@link SOCKET_PATH}. A message is binary and holds
 * one or more frames, one after another. A frame is a MessagePack array `[id, kind, …]`; `id` is a number that the client
 * chose for a request, or 0 for the hello. `docs/formats.md` describes every frame.
 */

/** Version of the protocol. */
export const SOCKET_PROTOCOL = 1;
export const SOCKET_PATH = '/v1/connect';

/** Kinds of the frames that a client sends. */
export const ASK = 0;
/** The client has consumed one batch of a stream. */
export const CONSUMED = 1;
/** The client wants no more of a stream. */
export const CANCEL = 2;

/** Kinds of the frames that a server sends. */
export const ANSWER = 0;
export const FAILURE = 1;
export const BATCH = 2;
export const END = 3;
export const HELLO = 4;
/** The server is closing and has not executed the request. */
export const NOT_EXECUTED = 5;

/** Batches of a stream that the server sends before the client has consumed the first of them. */
export const WINDOW_BATCHES = 4;
/** Most items of a batch. */
export const BATCH_ITEMS = 256;
/** Bytes of a batch, unless one item alone is larger. */
export const BATCH_BYTES = 64 * 1024;
/** Bytes of a message that gathers frames; a larger frame is a message of its own. */
export const MESSAGE_BYTES = 64 * 1024;

/** Largest `bufferSize` of a served watch, updates: bounds what one slow client costs the server. */
export const MAX_WATCH_BUFFER = 1_000_000;

/**
 * Most items and properties in a message to the server; a list or map counts for 8 more. A byte of a message may be an empty
 * map, which takes 64 in memory.
 */
export const MAX_MESSAGE_ITEMS = 24 * 1024 * 1024;

/** From one ping of the server to the next, milliseconds. */
export const PING_MS = 5_000;
/** A side that hears nothing for this long takes the connection for lost, milliseconds. */
export const SILENCE_MS = 15_000;

/** WebSocket close codes. */
export const CLOSE = {
  goingAway: 1001,
  notUnderstood: 1008,
  tooLarge: 1009,
  tooSlow: 1013,
  unauthorized: 4401,
} as const;

/** Limits of a server that its clients keep to. */
export interface SocketLimits {
  /** Most requests of one connection that wait for their answer. */
  readonly inFlight: number;
  /** Most bytes of a message to the server. */
  readonly messageBytes: number;
  /** Largest depth and size of a value. */
  readonly maxDepth: number;
  readonly maxBytes: number;
  /** Largest size of a key that is set. */
  readonly maxKeyBytes: number;
}

/** The first frame of a server. */
export interface Hello {
  readonly protocol: number;
  /** Identifies the run of the server: another one after a restart. */
  readonly server: string;
  /** Id of the cache's log. A position only has a meaning within one log. */
  readonly log: string;
  /** Position of the log's last committed update. */
  readonly position: number;
  /** The agent that the token stands for; `null` if the token is not an agent's. */
  readonly agent: string | null;
  readonly limits: SocketLimits;
}

/**
 * Field `repeats` of a write that was sent before: the log, and the last position that the client knew when it sent the write
 * for the first time. A server that no longer remembers all operations since then answers `OUTCOME_UNKNOWN`.
 */
export interface RepeatedSince {
  readonly log: string;
  readonly position: number;
}

/** A position, an instant (`{ time }`, epoch milliseconds), or the present. */
export type WirePoint = number | { readonly time: number } | 'present';

/** A frame after decoding. */
export type Frame = readonly JsonValue[];

/** The requests besides the typed commands of the cache. The answer of a stream comes in batches. */
export type SocketRequest =
  | {
      readonly type: 'write.entry';
      readonly key: string;
      readonly value: JsonValue;
      readonly namespace?: string | undefined;
      readonly ttl?: number | string | undefined;
      readonly expiresAt?: number | null | undefined;
      readonly ifVersion?: number | undefined;
      readonly ifDifferent?: boolean | undefined;
      readonly subject?: string | undefined;
      readonly subjects?: { readonly [path: string]: string } | undefined;
      readonly agent?: string | undefined;
      readonly meta?: Meta | undefined;
      readonly operationId?: string | undefined;
      readonly basis?: Basis | undefined;
    }
  | { readonly type: 'read.many'; readonly keys: readonly string[]; readonly namespace: string; readonly at?: number }
  | {
      readonly type: 'read.entries' | 'read.keys';
      readonly namespace: string;
      readonly at?: number;
      /** Set for a read in order. */
      readonly range?: RangeOptions | undefined;
    }
  | { readonly type: 'read.namespaces'; readonly at?: number; readonly range?: RangeOptions | undefined }
  | { readonly type: 'read.entry'; readonly key: string; readonly namespace: string; readonly at: number }
  | { readonly type: 'read.history'; readonly key: string; readonly namespace: string }
  | {
      readonly type: 'read.diff';
      readonly a: WirePoint;
      readonly b: WirePoint;
      readonly namespace?: string | undefined;
    }
  | {
      readonly type: 'read.log';
      readonly from?: number | undefined;
      readonly to?: number | undefined;
      readonly namespace?: string | undefined;
    }
  | {
      readonly type: 'watch';
      readonly namespace?: string | readonly string[] | undefined;
      readonly namespacePrefix?: string | undefined;
      readonly keys?: readonly string[] | undefined;
      readonly keyPrefix?: string | undefined;
      readonly since?: number | undefined;
      /** Id of the log that `since` belongs to. In another log the position is not available. */
      readonly log?: string | undefined;
      readonly snapshot?: boolean | undefined;
      readonly bufferSize?: number | undefined;
    }
  | { readonly type: 'view.open'; readonly at: WirePoint }
  | { readonly type: 'view.close'; readonly at: number }
  | { readonly type: 'cache.digest'; readonly namespace?: string | undefined }
  | { readonly type: 'cache.synced'; readonly timeoutMs?: number | undefined }
  | { readonly type: 'cache.snapshots' };
