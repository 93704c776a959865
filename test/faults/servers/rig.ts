import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { TestServer } from '../../support/servers.ts';
import type { FaultProxy } from '../proxy.ts';
import { type Side, until } from './side.ts';

/** A server, a proxy before it, and two caches with a follower there, written to all the time. */
export abstract class Rig implements AsyncDisposable {
  readonly server: TestServer;
  readonly proxy: FaultProxy;
  readonly seed: number;
  readonly sides: Side[] = [];

  constructor(server: TestServer, proxy: FaultProxy, seed: number) {
    this.server = server;
    this.proxy = proxy;
    this.seed = seed;
  }

  /** Waits until both followers have failed for this reason: a fault that goes unnoticed tests nothing. */
  async noticed(says: RegExp): Promise<void> {
    for (const side of this.sides) {
      await until(
        () => says.test(side.health.lastError ?? ''),
        () => this.about(side, `noticed no ${says}`),
      );
    }
  }

  /**
   * Leaves the present connections hanging. Resolves once both caches have replaced theirs. `held`: runs while they
   * hang.
   */
  async holdConnections(held: () => Promise<void> = async () => {}): Promise<void> {
    const before = this.proxy.accepted;
    this.proxy.hold();
    await held();
    for (const side of this.sides) {
      await until(
        () => this.proxy.accepted >= before + this.sides.length && side.health.attempts === 0,
        () => this.about(side, 'does not go on by way of a new connection'),
      );
    }
  }

  /** Checks, while the server is away, that no call in this process waits for it. */
  async nobodyWaits(): Promise<void> {
    for (const side of this.sides) expect(await side.callsThatWait(), this.about(side, 'local calls wait')).toEqual([]);
  }

  /** Checks after healing: goes on for a moment, stops writing, and requires that nothing differs. */
  async settled(when: string): Promise<void> {
    await sleep(100);
    this.pauseWriters();
    for (const [index, side] of this.sides.entries()) {
      await until(
        () => side.delivered,
        () => this.about(side, `has not caught up ${when}`),
      );
      await this.compare(side, index, when);
      expect(side.writer.failures, this.about(side, 'writes were refused')).toEqual([]);
    }
  }

  pauseWriters(): void {
    for (const { writer } of this.sides) writer.pause();
  }

  resumeWriters(): void {
    for (const { clock, writer } of this.sides) {
      clock.thaw();
      writer.resume();
    }
  }

  about(side: Side, what: string): string {
    const { state, attempts, lag, skipped, lastError } = side.health;
    return `${side.name}: ${what} (${JSON.stringify({ state, attempts, lag, skipped, lastError })}). FAULT_SEED=${this.seed}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const side of this.sides) await side[Symbol.asyncDispose]();
    await this.stopLooking();
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }

  /** Fails if the content of the server differs from the cache once everything is delivered. */
  protected abstract compare(side: Side, index: number, when: string): Promise<void>;

  protected abstract stopLooking(): Promise<void>;
}
