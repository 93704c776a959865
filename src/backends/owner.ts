import { ContextCacheError } from '../core/errors.ts';

/** The cache that a mirror or a store of snapshots belongs to. */
export interface Owner {
  /** Id of its log. */
  readonly log: string;
  /** `true` if the log is kept in a data directory: the cache may come back after its process has ended. */
  readonly durable: boolean;
  /** Ids of the logs that this one continues, because the cache was restored or forked from them. */
  readonly ancestors: readonly string[];
}

/** The cache that a mirror or a store of snapshots belongs to already. */
export interface OtherOwner {
  /** Id of its log. */
  readonly log: string;
  /** Its process, as `process 4711 on build-3`. */
  readonly holder: string;
  /** Milliseconds since it was last active; `undefined` if it has shut down. */
  readonly idleMs: number | undefined;
  /** `true` while its claim lasts. */
  readonly active: boolean;
}

/**
 * A mirror or a store of snapshots belongs to another cache (`OWNED_BY_ANOTHER`). Nothing was written.
 *
 * @example
 * ```ts
 * const onError = (error: Error) => {
 *   if (error instanceof OwnedByAnotherError) console.error(`The mirror belongs to log ${error.owner.log}.`);
 * };
 * ```
 */
export class OwnedByAnotherError extends ContextCacheError {
  readonly owner: OtherOwner;

  /** @param remedy what the caller can do about it, as sentences. */
  constructor(what: string, owner: OtherOwner, remedy: string) {
    const { log, holder, idleMs } = owner;
    const seen = idleMs === undefined ? 'shut down' : `last active ${Math.round(idleMs / 1000)} s ago`;
    super(
      'OWNED_BY_ANOTHER',
      `${what} to another cache (log ${log}, ${holder}, ${seen}); nothing was written. ${remedy}`,
    );
    this.name = 'OwnedByAnotherError';
    this.owner = owner;
  }
}
