import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { reloadNats, startNats, type TestServer } from '../../support/servers.ts';
import { FaultProxy } from '../proxy.ts';
import { faultSeed, Random } from '../support.ts';
import { CoreTopic, READER, StreamTopic, type Topic } from './nats-topic.ts';
import { HURRY, lastDifferences, Side, until } from './side.ts';

/** Who publishes: user, password, and what may be published. */
export interface Publisher {
  readonly user: string;
  readonly password: string;
  readonly publish: string;
}

const PUBLISHER: Publisher = { user: 'writer', password: 'right', publish: '">"' };

/** A server, a proxy before it, two caches that broadcast by way of the proxy, and a subscriber to each. */
export class NatsRig implements AsyncDisposable {
  readonly server: TestServer;
  readonly proxy: FaultProxy;
  readonly seed: number;
  readonly sides: Side[] = [];
  readonly topics: Topic[] = [];
  /** For each side, the last position that may have died with the server, which had confirmed it. */
  #excused: number[] = [];
  /** What the caches log in with; asked for with each connection. */
  login = { user: PUBLISHER.user, pass: PUBLISHER.password };

  static async start(kind: 'core' | 'stream', hurry = HURRY, seed = faultSeed()): Promise<NatsRig> {
    const server = await startNats({ jetstream: kind === 'stream', config: configFor(PUBLISHER) });
    const rig = new NatsRig(server, await FaultProxy.to(server.port), seed);
    for (const name of ['in memory', 'durable'] as const) {
      const topic = `updates.${name === 'durable' ? name : 'memory'}`;
      rig.topics.push(await (kind === 'core' ? CoreTopic : StreamTopic).on(server.url, topic));
      const options = () => ({
        natsUrl: rig.proxy.instead(server.url),
        natsConnection: () => rig.login,
        topics: [topic],
      });
      rig.sides.push(await Side.open(name, 'broadcaster', new Random(seed), options, hurry));
    }
    await rig.settled('before anything has happened');
    for (const { writer } of rig.sides) writer.resume();
    return rig;
  }

  private constructor(server: TestServer, proxy: FaultProxy, seed: number) {
    this.server = server;
    this.proxy = proxy;
    this.seed = seed;
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

  /** Lets the subscribers get all there is: what a server has taken and not passed on dies with it. */
  async quiet(): Promise<void> {
    for (const { writer } of this.sides) writer.pause();
    for (const [index, side] of this.sides.entries()) {
      await until(
        () => side.delivered,
        () => this.about(side, 'does not come to rest'),
      );
      await this.topics[index]?.collect();
    }
  }

  /**
   * The server was killed while it was published to: what it had confirmed, and not passed on or stored, is no longer
   * the cache's to deliver. Call it once the failure has been noticed, as nothing is confirmed after that.
   */
  excuseWhatIsConfirmed(): void {
    this.#excused = this.sides.map(({ health }) => health.checkpoint);
  }

  /** Starts the server again, and lets the caches in once the subscribers are there. */
  async restart(): Promise<void> {
    this.proxy.refuse();
    await this.server.restart();
    for (const topic of this.topics) await topic.again();
    this.proxy.heal();
  }

  /** What JetStream has stored. */
  forgetStreams(): Promise<void> {
    return rm(join(this.server.dir, 'jetstream'), { recursive: true });
  }

  /** Changes who may publish, with a signal, as an operator does. */
  reload(publisher: Partial<Publisher>): Promise<void> {
    return reloadNats(this.server, configFor({ ...PUBLISHER, ...publisher }));
  }

  /** After healing: goes on for a moment, then stops writing and demands that nothing differs and nothing is missing. */
  async settled(when: string): Promise<void> {
    await sleep(100);
    for (const { writer } of this.sides) writer.pause();
    for (const [index, side] of this.sides.entries()) {
      const topic = this.topics[index] as Topic;
      await until(
        () => side.delivered,
        () => this.about(side, `has not caught up ${when}`),
      );
      const excused = this.#excused[index] ?? 0;
      const differences = await lastDifferences(async () => {
        await topic.collect();
        return excused === 0 ? topic.reader.differences(side.cache) : topic.reader.outOfOrder;
      });
      expect(differences, this.about(side, `differs ${when}`)).toEqual([]);
      if (side.name === 'durable') {
        const missing = (await topic.reader.missing(side.cache)).filter((position) => position > excused);
        expect(missing, this.about(side, `lacks positions ${when}`)).toEqual([]);
      }
      expect(side.writer.failures, this.about(side, 'writes were refused')).toEqual([]);
    }
  }

  about(side: Side, what: string): string {
    const { state, attempts, lag, lastError } = side.health;
    return `${side.name}: ${what} (${JSON.stringify({ state, attempts, lag, lastError })}). FAULT_SEED=${this.seed}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const side of this.sides) await side[Symbol.asyncDispose]();
    for (const topic of this.topics) await topic.close();
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

function configFor({ user, password, publish }: Publisher): string {
  return `authorization { users: [
    { user: ${user}, password: ${password}, permissions: { publish: [${publish}], subscribe: [">"] } }
    { user: ${READER.user}, password: ${READER.pass} }
  ] }`;
}
