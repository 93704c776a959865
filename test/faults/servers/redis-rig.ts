import { Redis } from 'ioredis';
import { expect } from 'vitest';
import { RedisContextCache } from '../../../src/index.ts';
import { type RedisOptions, startRedis, type TestServer } from '../../support/servers.ts';
import { FaultProxy } from '../proxy.ts';
import { faultSeed, Random } from '../support.ts';
import { mirrorDifferences } from './compare.ts';
import { MirrorWatch } from './mirror-watch.ts';
import { Rig } from './rig.ts';
import { HURRY, lastDifferences, Side, until } from './side.ts';

export interface RedisRigOptions extends RedisOptions {
  /** Speed of the caches' time. */
  readonly hurry?: number;
  /** `user:password@` of the caches. */
  readonly login?: string;
  /** Runs before the caches connect. */
  readonly prepare?: (admin: Redis) => Promise<unknown>;
}

/** A Redis to which two caches mirror through a proxy, each under its own prefix. */
export class RedisRig extends Rig {
  /** A connection past the proxy, to cause and examine faults. */
  readonly admin: Redis;
  readonly watches: MirrorWatch[] = [];

  static async start({ hurry = HURRY, login = '', prepare, ...redis }: RedisRigOptions = {}): Promise<RedisRig> {
    const server = await startRedis(redis);
    const rig = new RedisRig(server, await FaultProxy.to(server.port), faultSeed());
    await prepare?.(rig.admin);
    const url = rig.proxy.instead(server.url).replace('//', `//${login}`);
    for (const name of ['in memory', 'durable'] as const) {
      const prefix = prefixOf(name);
      const random = new Random(rig.seed);
      const side = await Side.open(name, 'mirror', random, hurry, (clock) => ({
        secondaryCache: new RedisContextCache({ url, prefix, clock }),
      }));
      rig.sides.push(side);
      rig.watches.push(new MirrorWatch(rig.admin, prefix));
    }
    await rig.settled('before anything has happened');
    rig.resumeWriters();
    return rig;
  }

  private constructor(server: TestServer, proxy: FaultProxy, seed: number) {
    super(server, proxy, seed);
    this.admin = new Redis(server.url, {
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
      autoResendUnfulfilledCommands: false,
      // Connects while the server is loading.
      enableReadyCheck: false,
    });
    this.admin.on('error', () => {});
  }

  protected async compare(side: Side, index: number, when: string): Promise<void> {
    const differences = await lastDifferences(() => mirrorDifferences(this.admin, prefixOf(side.name), side.cache));
    expect(differences, this.about(side, `differs ${when}`)).toEqual([]);
    const watch = this.watches[index];
    expect(watch?.stale, this.about(side, 'went back to an older value')).toEqual([]);
    // The reply has arrived but may not have been processed.
    await until(
      () => (watch?.reads ?? 0) > 0,
      () => this.about(side, 'was not watched'),
    );
  }

  protected async stopLooking(): Promise<void> {
    for (const watch of this.watches) watch.stop();
    this.admin.disconnect();
  }
}

export function prefixOf(name: Side['name']): string {
  return `${name}/`;
}
