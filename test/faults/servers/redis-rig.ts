import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect } from 'vitest';
import { RedisContextCache } from '../../../src/backends/redis-context-cache.ts';
import { type RedisOptions, startRedis, type TestServer } from '../../support/servers.ts';
import { FaultProxy } from '../proxy.ts';
import { faultSeed, Random } from '../support.ts';
import { mirrorDifferences } from './compare.ts';
import { MirrorWatch } from './mirror-watch.ts';
import { HURRY, lastDifferences, Side, until } from './side.ts';

/** A server, a proxy before it, and two caches that mirror to it by way of the proxy. */
export class RedisRig implements AsyncDisposable {
  readonly server: TestServer;
  readonly proxy: FaultProxy;
  /** Past the proxy, for whoever does the mischief and for whoever looks. */
  readonly admin: Redis;
  readonly seed: number;
  readonly sides: Side[] = [];
  readonly watches: MirrorWatch[] = [];

  static async start(options: RedisRigOptions = {}): Promise<RedisRig> {
    const { seed = faultSeed(), hurry = HURRY, login = '', ...redis } = options;
    const server = await startRedis(redis);
    const rig = new RedisRig(server, await FaultProxy.to(server.port), seed);
    await options.prepare?.(rig.admin);
    const url = rig.proxy.instead(server.url).replace('//', `//${login}`);
    for (const name of ['in memory', 'durable'] as const) {
      const mirror = (clock: ConstructorParameters<typeof RedisContextCache>[0]['clock']) =>
        new RedisContextCache({ url, prefix: prefixOf(name), ...(clock && { clock }) });
      rig.sides.push(
        await Side.open(name, 'mirror', new Random(seed), (clock) => ({ secondaryCache: mirror(clock) }), hurry),
      );
      rig.watches.push(new MirrorWatch(rig.admin, prefixOf(name)));
    }
    await rig.settled('before anything has happened');
    for (const { writer } of rig.sides) writer.resume();
    return rig;
  }

  private constructor(server: TestServer, proxy: FaultProxy, seed: number) {
    this.server = server;
    this.proxy = proxy;
    this.seed = seed;
    this.admin = new Redis(server.url, {
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
      autoResendUnfulfilledCommands: false,
      // It has to get in while the server is loading.
      enableReadyCheck: false,
    });
    this.admin.on('error', () => {});
  }

  /** Waits until both followers have failed, and for this reason: what is not noticed is no fault. */
  async noticed(says: RegExp): Promise<void> {
    for (const side of this.sides) {
      await until(
        () => says.test(side.health.lastError ?? ''),
        () => this.about(side, `noticed no ${says}`),
      );
    }
  }

  /** While the server is away: nobody in this process waits for it. */
  async nobodyWaits(): Promise<void> {
    for (const side of this.sides) expect(await side.callsThatWait(), this.about(side, 'local calls wait')).toEqual([]);
  }

  /** After healing: goes on for a moment, then stops writing and demands that nothing differs. */
  async settled(when: string): Promise<void> {
    await sleep(100);
    for (const { writer } of this.sides) writer.pause();
    for (const [index, side] of this.sides.entries()) {
      await until(
        () => side.delivered,
        () => this.about(side, `has not caught up ${when}`),
      );
      const differences = await lastDifferences(() => mirrorDifferences(this.admin, prefixOf(side.name), side.cache));
      expect(differences, this.about(side, `differs ${when}`)).toEqual([]);
      expect(this.watches[index]?.stale, this.about(side, 'went back to an older value')).toEqual([]);
      expect(side.writer.failures, this.about(side, 'writes were refused')).toEqual([]);
    }
  }

  about(side: Side, what: string): string {
    const { state, attempts, lag, lastError } = side.health;
    return `${side.name}: ${what} (${JSON.stringify({ state, attempts, lag, lastError })}). FAULT_SEED=${this.seed}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.watches) void watch.stop();
    for (const side of this.sides) await side[Symbol.asyncDispose]();
    this.admin.disconnect();
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

export interface RedisRigOptions extends RedisOptions {
  readonly seed?: number;
  /** How fast the caches' time passes. */
  readonly hurry?: number;
  /** `user:password@` of the caches. */
  readonly login?: string;
  /** Before the caches connect. */
  readonly prepare?: (admin: Redis) => Promise<unknown>;
}

export function prefixOf(name: Side['name']): string {
  return `${name}/`;
}
