import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { reloadNats, startNats } from '../../support/servers.ts';
import { FaultProxy } from '../proxy.ts';
import { faultSeed, Random } from '../support.ts';
import { CoreTopic, READER, StreamTopic, type Topic } from './nats-topic.ts';
import { Rig } from './rig.ts';
import { HURRY, lastDifferences, Side, until } from './side.ts';

/** Who publishes: user, password, and what may be published. */
export interface Publisher {
  readonly user: string;
  readonly password: string;
  readonly publish: string;
}

const PUBLISHER: Publisher = { user: 'writer', password: 'right', publish: '">"' };

/** A NATS that two caches broadcast to by way of a proxy, with a subscriber to each. */
export class NatsRig extends Rig {
  readonly topics: Topic[] = [];
  /** What the caches log in with; asked for with each connection. */
  login = { user: PUBLISHER.user, pass: PUBLISHER.password };
  /** For each side, the last position that may have died with the server, which had confirmed it. */
  #excused: number[] = [];

  static async start(kind: 'core' | 'stream', hurry = HURRY): Promise<NatsRig> {
    const server = await startNats({ jetstream: kind === 'stream', config: configFor(PUBLISHER) });
    const rig = new NatsRig(server, await FaultProxy.to(server.port), faultSeed());
    for (const name of ['in memory', 'durable'] as const) {
      const topic = `updates.${name === 'durable' ? name : 'memory'}`;
      rig.topics.push(await (kind === 'core' ? CoreTopic : StreamTopic).on(server.url, topic));
      const side = await Side.open(name, 'broadcaster', new Random(rig.seed), hurry, () => ({
        natsUrl: rig.proxy.instead(server.url),
        natsConnection: () => rig.login,
        topics: [topic],
      }));
      rig.sides.push(side);
    }
    await rig.settled('before anything has happened');
    rig.resumeWriters();
    return rig;
  }

  /**
   * Lets the subscribers get all there is, as what a server has taken and not passed on dies with it. Until the writers
   * go on, nothing expires.
   */
  async quiet(): Promise<void> {
    this.pauseWriters();
    for (const [index, side] of this.sides.entries()) {
      const rested = () =>
        until(
          () => side.delivered,
          () => this.about(side, 'does not come to rest'),
        );
      await rested();
      side.clock.freeze();
      await side.cache.flush();
      await rested();
      await this.topics[index]?.collect();
    }
  }

  /**
   * As {@link holdConnections}, with something under way on each. Until the caches go on nothing more is written: of what
   * is under way the ring would let go, and only the last of each key would come again.
   */
  holdMessages(): Promise<void> {
    return this.holdConnections(async () => {
      for (const side of this.sides) {
        await until(
          () => side.health.lag > 0,
          () => this.about(side, 'has nothing under way'),
        );
      }
      this.pauseWriters();
    });
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

  /**
   * Does something while no message is under way. A window of which the server refuses the beginning and then, as it has
   * just been healed, takes the end, is stored in the wrong order: `ContextUpdateEventPusher` says so.
   */
  async betweenWindows(heal: () => Promise<void>): Promise<void> {
    this.proxy.refuse();
    await this.noticed(/cannot be reached/);
    await sleep(100);
    await heal();
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

  protected async compare(side: Side, index: number, when: string): Promise<void> {
    const topic = this.topics[index] as Topic;
    const excused = this.#excused[index] ?? 0;
    const coalesced = side.name === 'in memory';
    const differences = await lastDifferences(async () => {
      await topic.collect();
      if (excused === 0) return topic.reader.differences(side.cache, coalesced);
      return topic.reader.outOfOrder(coalesced).map(String);
    });
    expect(differences, this.about(side, `differs ${when}`)).toEqual([]);
    if (coalesced) return;
    // Entries expire meanwhile: what is in the log by now may still be on its way.
    const missing = await lastDifferences(async () => {
      await topic.collect();
      return (await topic.reader.missing(side.cache)).filter((position) => position > excused).map(String);
    });
    expect(missing, this.about(side, `lacks positions ${when}`)).toEqual([]);
  }

  protected async stopLooking(): Promise<void> {
    for (const topic of this.topics) await topic.close();
  }
}

function configFor({ user, password, publish }: Publisher): string {
  return `authorization { users: [
    { user: ${user}, password: ${password}, permissions: { publish: [${publish}], subscribe: [">"] } }
    { user: ${READER.user}, password: ${READER.pass} }
  ] }`;
}
