import type { Clock } from '../../core/clock.ts';
import { withDeadline } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import type { Inspectable } from '../inspectable.ts';
import type { HealthDetail, StoredSnapshots } from '../protocol.ts';
import type { Verification } from './verification.ts';

/** Longest time for listing the snapshots, milliseconds. The page reads its health every 3 s. */
export const SNAPSHOTS_MS = 2_000;

/** The health of a cache with the parts that have to be read from files or servers. */
export class HealthReads {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #verification: Verification;
  #listing: Promise<StoredSnapshots> | undefined;

  constructor(cache: Inspectable, clock: Clock, verification: Verification) {
    this.#cache = cache;
    this.#clock = clock;
    this.#verification = verification;
  }

  /** Reads everything. A store of snapshots that fails or is slow makes its own part `unavailable`, nothing else. */
  async detail(): Promise<HealthDetail> {
    const { inspection } = this.#cache;
    this.#listing ??= this.#list().finally(() => {
      this.#listing = undefined;
    });
    const [diskBytes = null, snapshots] = await Promise.all([inspection.diskBytes(), this.#listing]);
    const health = this.#cache.health();
    const broadcaster = health.followers.find(({ name }) => name === 'broadcaster');
    return {
      ...{ health, diskBytes, snapshots },
      lastPublished: broadcaster?.checkpoint ?? null,
      mirror: inspection.mirror === undefined ? null : inspection.mirror.constructor.name,
      backup: health.backup ?? null,
      verify: { running: this.#verification.running ?? null, last: this.#verification.last ?? null },
    };
  }

  async #list(): Promise<StoredSnapshots> {
    try {
      const items = await withDeadline((signal) => this.#cache.inspection.snapshots(signal), {
        ...{ what: 'The store of the snapshots', timeoutMs: SNAPSHOTS_MS, clock: this.#clock },
      });
      return items === undefined ? { state: 'none' } : { state: 'listed', items };
    } catch (error) {
      const code = error instanceof ContextCacheError ? error.code : 'INTERNAL';
      return { state: 'unavailable', code, reason: toError(error).message };
    }
  }
}
