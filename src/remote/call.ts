import type { JsonValue } from '../core/value.ts';
import type { RepeatedSince } from '../wire/socket-protocol.ts';

/** A request as the protocol has it. */
export interface RequestObject {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Receives a stream. */
export interface StreamEvents {
  /** Called with the items of a batch, and for a watch with the position that it has reached. */
  readonly onBatch: (items: readonly JsonValue[], position: number | undefined) => void;
  /** Called once at the end, with the error if the stream failed. */
  readonly onEnd: (error?: Error) => void;
  /** Called if the connection is lost. No further event follows: ask for the rest as a new stream. */
  readonly onLost: () => void;
}

/**
 * Use of a stream: `collected` into one answer, which closing the link waits for; `read` item by item; `watch`, which
 * waits for a connection for ever.
 */
export type StreamKind = 'collected' | 'read' | 'watch';

/** A running stream. */
export interface IncomingStream {
  /** Tells the server that a batch has been consumed. */
  consumed(): void;
  cancel(): void;
}

/** A request that waits to be sent, or for its answer. */
export interface Call {
  readonly request: RequestObject;
  /** Sent again if the connection is lost. A write without an operation id is not: whether it has taken effect is not known. */
  readonly repeats: boolean;
  readonly resolve: (answer: JsonValue | undefined) => void;
  readonly reject: (error: Error) => void;
  /** Set for a stream. */
  readonly events?: StreamEvents;
  readonly kind?: StreamKind;
  id: number;
  /** When it fails for lack of a connection, epoch milliseconds. */
  due: number;
  /** When a connection was first lost before the answer, epoch milliseconds. */
  lostAt?: number;
  /** Set for a write with an operation id once it was sent: the server must know whether it was applied since then. */
  since?: RepeatedSince;
}
