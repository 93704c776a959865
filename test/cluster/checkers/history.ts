/**
 * A record of what the sessions of a test asked of a cluster and what they were answered. Each key lies in a namespace of its own, so
 * that the version of the namespace counts the updates of the key. Values are unique: a value names the write it comes from.
 */
export interface Operation {
  /** A session does one operation at a time on one node. */
  readonly session: string;
  readonly key: string;
  readonly ask: Ask;
  /** Instants of one monotonic clock, in ms. */
  readonly calledAt: number;
  /** `Infinity` if there was no answer. */
  readonly returnedAt: number;
  readonly answer: Answer;
}

export type Ask =
  | { readonly type: 'set'; readonly value: string; readonly ifVersion?: number; readonly ttl?: number }
  | { readonly type: 'delete'; readonly ifVersion?: number }
  /** A read of the node's own state, or one after a barrier. */
  | { readonly type: 'get'; readonly isAfterBarrier: boolean };

export type Answer =
  /** The write was done and made this version, or changed nothing (`version` is then the present one). */
  | { readonly type: 'done'; readonly version: number; readonly isChanged: boolean }
  /** The condition did not hold; the present version is this one. */
  | { readonly type: 'conflict'; readonly version: number }
  | { readonly type: 'read'; readonly value: string | undefined; readonly version: number | undefined }
  /** Done or not done. */
  | { readonly type: 'unknown' }
  /** Certainly not done. */
  | { readonly type: 'refused' };

/** A violation in words; `undefined` for a correct history. */
export type Verdict = string | undefined;

/** Describes an operation in a message. */
export function shown({ session, key, ask, answer, calledAt, returnedAt }: Operation): string {
  return `${session} [${calledAt.toFixed(1)}, ${returnedAt.toFixed(1)}] ${key} ${JSON.stringify(ask)} → ${JSON.stringify(answer)}`;
}
