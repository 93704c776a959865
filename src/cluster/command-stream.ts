import type { ContextCacheError } from '../core/errors.ts';

/** A message as the stream stores it. */
export interface StreamMessage {
  /** Place in the stream, from 1 up. */
  readonly sequence: number;
  /** Time at which the stream stored the message, in epoch milliseconds. The only clock of a cluster. */
  readonly at: number;
  /** The message. The receiver may keep it, and must not change it. */
  readonly data: Uint8Array;
}

/** The condition of a stream. */
export interface StreamInfo {
  /** Sequence of the oldest message; `last + 1` if the stream is empty. */
  readonly first: number;
  /** Sequence of the newest message; 0 if the stream never had one. */
  readonly last: number;
  /** Names this incarnation of the stream. A stream that was deleted and created again has another one. */
  readonly epoch: string;
  /** Number of servers that store each message. */
  readonly replicas: number;
  /** `true` if an acknowledged message is on disk (`sync_interval: always`); `undefined` if the servers do not say. */
  readonly syncs: boolean | undefined;
  /** Version of the server, such as `2.10.27`; `undefined` for a stream without servers. */
  readonly serverVersion: string | undefined;
  /** Greatest size of a message in bytes. */
  readonly maxBytes: number;
  /**
   * `true` if everything that was acknowledged before the question lies at or before {@link last}. `false` if the leader may have been
   * elected a moment ago and not have come to its own end yet.
   */
  readonly isSettled: boolean;
}

/** The reading of a stream, until it is stopped. */
export interface Following {
  /** Ends the reading. Nothing is received after this call. */
  stop(): void;
}

/**
 * The ordered log of a cluster's commands, as one node sees it. It orders and stores messages, and knows nothing of what they
 * say. Losses of connection are its own affair: it connects again, and continues.
 */
export interface CommandStream {
  /** `true` while there is a connection to a server. */
  readonly connected: boolean;
  /**
   * The reason why the stream cannot be used until an operator changes settings, permissions or versions; `undefined` while it
   * can. The stream keeps trying.
   */
  readonly problem: ContextCacheError | undefined;
  /** The listener for problems. It gets each new one, and `undefined` when the last one is solved. */
  onProblem: ((problem: ContextCacheError | undefined) => void) | undefined;
  /**
   * Appends a message. Resolves with its sequence once the stream has acknowledged it. Several messages may be on their way;
   * the order in which the stream stores them is that of the calls, unless the connection is lost meanwhile. Never sends
   * a message a second time by itself.
   *
   * Rejects with `LOG_UNAVAILABLE` if the message has not left this node or was refused by the stream, so that it is not
   * stored; with `OUTCOME_UNKNOWN` if it was sent and not acknowledged in time; with `INVALID_VALUE` if it is larger than
   * {@link StreamInfo.maxBytes}; and with `CLOSED`.
   */
  publish(message: Uint8Array): Promise<number>;
  /**
   * Delivers every message after the sequence `after`, in order and without a gap: each sequence is the previous one + 1.
   * `receive` is never called before `follow` has returned, and never twice for a sequence.
   *
   * `failed` is called once, and nothing is received afterwards: with `POSITION_UNAVAILABLE` if messages after `after` have
   * been purged; with `LOG_CORRUPT` if a message that is not the newest is missing, or if the stream ends before a
   * sequence that was already received or acknowledged (it was restored from an older copy, or lost its tail).
   */
  follow(
    after: number,
    receive: (message: StreamMessage) => void,
    failed: (error: ContextCacheError) => void,
  ): Following;
  /** Reads the condition of the stream from its leader. Rejects with `LOG_UNAVAILABLE` if no leader answers in time. */
  info(): Promise<StreamInfo>;
  /** Discards the messages up to and including the sequence `upTo`. Only the holder of the lease calls it. */
  purge(upTo: number): Promise<void>;
  /** Ends the connection. Publishes that are not acknowledged reject. */
  close(): Promise<void>;
}
