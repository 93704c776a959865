import { createRequire } from 'node:module';
import { followerMachine, namespaceMachine, supervisorMachine } from '../../../machines/index.ts';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { InspectorOptions } from '../../engine/inspector-options.ts';
import { actorFeed, actorsFeed } from '../feeds/actor-feeds.ts';
import type { StartFeed } from '../feeds/feed.ts';
import { ForeignActors } from '../feeds/foreign-actors.ts';
import { updatesFeed } from '../feeds/updates-feed.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Subscription } from '../live-protocol.ts';
import type { MachineGraph, Meta } from '../protocol.ts';
import { Actors } from '../reads/actors.ts';
import { Agents } from '../reads/agents.ts';
import { Data } from '../reads/data.ts';
import { HealthReads } from '../reads/health.ts';
import { machineGraph } from '../reads/machine-graph.ts';
import { Meter } from '../reads/meter.ts';
import { NamespaceIndex } from '../reads/namespace-index.ts';
import { Presenter } from '../reads/presenter.ts';
import { Redactor } from '../reads/redactor.ts';
import { UpdatePages } from '../reads/update-pages.ts';
import { Verification } from '../reads/verification.ts';
import { Views } from '../reads/views.ts';

const MAX_ROWS = 500;
const DEFAULT_ROWS = 100;

/** Statecharts of the cache's own actors. */
export const GRAPHS: readonly MachineGraph[] = [supervisorMachine, namespaceMachine, followerMachine]
  .map(({ config }) => machineGraph(config))
  .filter((graph) => graph !== undefined);

/** Everything that reads a cache for its pages. Nothing is attached to the cache until a page needs it. */
export class Services {
  readonly cache: Inspectable;
  readonly actors: Actors;
  readonly agents: Agents;
  readonly data: Data;
  readonly views: Views;
  readonly updates: UpdatePages;
  readonly meter: Meter;
  readonly verification: Verification;
  readonly health: HealthReads;
  readonly foreign: ForeignActors;
  readonly presenter: Presenter;
  readonly redactor: Redactor;
  readonly #clock: Clock;
  readonly #index: NamespaceIndex;
  readonly #startedAt: number;

  constructor(cache: Inspectable, { redact }: InspectorOptions) {
    this.cache = cache;
    this.#clock = cache.inspection.clock;
    this.#startedAt = this.#clock.now();
    this.redactor = new Redactor(redact);
    this.presenter = new Presenter(this.redactor);
    this.#index = new NamespaceIndex(cache, this.#clock);
    this.updates = new UpdatePages(cache, this.#clock, this.presenter);
    this.views = new Views(cache, this.#clock, this.updates, this.presenter);
    this.actors = new Actors(cache, this.#clock, this.#index);
    this.agents = new Agents(cache, this.#clock);
    this.meter = new Meter(cache, this.#clock, this.#index);
    this.verification = new Verification(cache, this.#clock);
    this.health = new HealthReads(cache, this.#clock, this.verification);
    this.foreign = new ForeignActors(this.redactor, this.#clock);
    const { redactor, presenter, views } = this;
    this.data = new Data({ cache, clock: this.#clock, index: this.#index, views, redactor, presenter });
  }

  meta(allowWrite: boolean, foreignUrl: string): Meta {
    const { dataDir = null, branchOf = null } = this.cache.inspection;
    const { id: logId, durable } = this.cache.inspection.log;
    return {
      ...{ version: versionOfPackage(), logId, durable, dataDir, branchOf, allowWrite, foreignUrl },
      ...{ pid: process.pid, node: process.version, startedAt: this.#startedAt, now: this.#clock.now() },
      redacts: this.redactor.redacts,
    };
  }

  /**
   * Returns the feed of a subscription.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if the feed, its actor or its limit is invalid.
   */
  feedOf(subscription: Subscription): StartFeed {
    const parts = { cache: this.cache, clock: this.#clock, actors: this.actors, graphs: GRAPHS };
    switch (subscription.feed) {
      case 'overview':
        return this.#overviewFeed();
      case 'updates': {
        const { filter = {}, limit = DEFAULT_ROWS } = subscription;
        if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ROWS)
          throw invalid(`limit must be from 1 to ${MAX_ROWS}.`);
        return updatesFeed(this.cache, this.presenter, filter, limit);
      }
      case 'actors':
        return actorsFeed(parts);
      case 'actor':
        if (typeof subscription.actor !== 'string')
          throw invalid('actor is missing. Send the id of an actor, such as namespace:trip.');
        return actorFeed(parts, subscription.actor);
      case 'verify':
        return this.#verifyFeed();
      case 'foreign':
        return this.foreign.feed();
      default:
        throw invalid('feed must be overview, updates, actors, actor, verify or foreign.');
    }
  }

  close(): void {
    this.verification.close();
    this.meter.close();
    this.views.close();
    this.data.close();
    this.#index.close();
  }

  #overviewFeed(): StartFeed {
    return (id, changed) => {
      const stop = this.meter.listen(changed);
      return {
        collect: () => {
          const sample = this.meter.last;
          return sample && { type: 'overview', id, sample };
        },
        stop,
      };
    };
  }

  #verifyFeed(): StartFeed {
    return (id, changed) => {
      const stop = this.verification.listen(changed);
      changed();
      return { collect: () => ({ type: 'verify', id, progress: this.verification.running ?? null }), stop };
    };
  }
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

function versionOfPackage(): string {
  const { version } = createRequire(import.meta.url)('agent-context-cache/package.json') as { version: string };
  return version;
}
