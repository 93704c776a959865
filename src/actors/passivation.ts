import type { Clock } from '../core/clock.ts';
import type { Supervisor } from './supervisor.ts';

/** Bounds of the namespaces in memory. */
export interface PassivationOptions {
  /** Milliseconds without use after which a namespace leaves memory; 0: never. */
  readonly afterMs: number;
  /** Largest number of namespaces in memory. */
  readonly maxResident: number;
  readonly clock: Clock;
}

/** Share of the bound that is freed at once when it is exceeded, so that not every use searches for a namespace to free. */
const FREED_SHARE = 0.1;

/**
 * Takes idle namespaces out of memory: those not used between two scans. No timer runs while no namespace is in
 * memory.
 */
export class Passivation {
  readonly #supervisor: Supervisor;
  readonly #options: PassivationOptions;
  #timer: unknown;
  #stopped = false;
  #freeing = false;

  constructor(supervisor: Supervisor, options: PassivationOptions) {
    this.#supervisor = supervisor;
    this.#options = options;
    supervisor.registry.onGrown(() => this.#grown());
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  #grown(): void {
    this.#arm();
    const { maxResident, clock } = this.#options;
    if (this.#stopped || this.#freeing || this.#supervisor.registry.resident <= maxResident) return;
    this.#freeing = true;
    // In a later turn: the supervisor is executing a command.
    clock.setTimeout(() => {
      this.#freeing = false;
      if (!this.#stopped) this.#free(this.#supervisor.registry.resident - Math.floor(maxResident * (1 - FREED_SHARE)));
    }, 0);
  }

  /** Frees namespaces not used since the last scan first, then any. */
  #free(count: number): void {
    let left = count;
    for (const mustBeIdle of [true, false]) {
      for (const record of this.#supervisor.registry.records()) {
        if (left <= 0) return;
        if (mustBeIdle && record.used) record.used = false;
        else if (this.#supervisor.passivateOne(record)) left -= 1;
      }
    }
  }

  #arm(): void {
    const { afterMs, clock } = this.#options;
    if (this.#stopped || this.#timer !== undefined || afterMs === 0 || this.#supervisor.registry.resident === 0) return;
    this.#timer = clock.setTimeout(() => {
      this.#timer = undefined;
      for (const record of this.#supervisor.registry.records()) {
        if (record.used) record.used = false;
        else this.#supervisor.passivateOne(record);
      }
      this.#arm();
    }, afterMs / 2);
    clock.unref?.(this.#timer);
  }
}
