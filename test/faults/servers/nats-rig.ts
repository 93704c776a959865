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

/** Login of the publishers: user, password, and allowed subjects. */
export interface Publisher {
  readonly user: string;
  readonly password: string;
  readonly publish: string;
}

const PUBLISHER: Publisher = { user: 'writer', password: 'right', publish: '">"' };

/** A NATS to which two caches broadcast through a proxy, with a subscriber to each. */
export class NatsRig extends Rig {
  readonly topics: Topic[] = [];
  /** Login of the caches, read for each connection. */
  login = { user: PUBLISHER.user, pass: PUBLISHER.password };
  /** For each side, the last position that may have been lost with the server, which had confirmed it. */
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
   * Lets the subscribers receive everything, because what a server has taken and not passed on dies with it. Nothing
   * expires until the writers go on.
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
   * Holds the connections with something under way on each. Nothing more is written until the caches go on: the ring
   * would discard what is under way, and only the last update of each key would come again.
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
   * Notes that the server was killed while it was published to. The cache no longer has to deliver what the server had
   * confirmed and not passed on or stored. Call it once the failure was noticed, because nothing is confirmed after
   * that.
   */
  excuseWhatIsConfirmed(): void {
    this.#excused = this.sides.map(({ health }) => health.checkpoint);
  }

  /** Restarts the server, and admits the caches once the subscribers are connected. */
  async restart(): Promise<void> {
    this.proxy.refuse();
    await this.server.restart();
    for (const topic of this.topics) await topic.again();
    this.proxy.heal();
  }

  /**
   * Runs a task while no message is under way. A server that refuses the beginning of a window and, just healed, takes
   * its end stores the window in the wrong order, as `ContextUpdateEventPusher` documents.
   */
  async betweenWindows(heal: () => Promise<void>): Promise<void> {
    this.proxy.refuse();
    await this.noticed(/cannot be reached/);
    await sleep(100);
    await heal();
    this.proxy.heal();
  }

  /** Messages that JetStream has stored. */
  forgetStreams(): Promise<void> {
    return rm(join(this.server.dir, 'jetstream'), { recursive: true });
  }

  /** Changes who may publish, by a signal to the server, as an operator does. */
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
    // Entries expire meanwhile: the last updates of the log may still be on their way.
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
