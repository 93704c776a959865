import type { Operation, Update } from '../../core/update.ts';
import type { UpdateFilter } from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';
import type { ServerMessage } from '../live-protocol.ts';
import type { Presenter } from '../reads/presenter.ts';
import { filterOf } from '../reads/update-pages.ts';
import type { Feed, StartFeed } from './feed.ts';

/**
 * Sends updates as they are committed. Keeps the newest that match the filter for the next batch, and counts the others.
 * An update that does not match costs one test; with a namespace without `*`, updates elsewhere cost nothing.
 */
export function updatesFeed(cache: Inspectable, presenter: Presenter, filter: UpdateFilter, limit: number): StartFeed {
  return (id, changed) => new UpdatesFeed(cache, presenter, filter, limit, { id, changed });
}

class UpdatesFeed implements Feed {
  readonly #presenter: Presenter;
  readonly #limit: number;
  readonly #id: string;
  readonly #stop: () => void;
  /** The newest updates, as a ring: the next one goes to `#count % #limit`. */
  #kept: Update[] = [];
  #count = 0;
  #counts: Partial<Record<Operation, number>> = {};

  constructor(
    cache: Inspectable,
    presenter: Presenter,
    filter: UpdateFilter,
    limit: number,
    { id, changed }: { readonly id: string; readonly changed: () => void },
  ) {
    this.#presenter = presenter;
    this.#limit = limit;
    this.#id = id;
    const { namespace } = filter;
    const isOne = namespace !== undefined && namespace !== '' && !namespace.includes('*');
    const matches = filterOf(filter, presenter);
    const listener = (update: Update) => {
      if (!matches(update)) return;
      if (this.#count === 0) changed();
      this.#keep(update);
    };
    this.#stop = cache.inspection.subscribe(listener, isOne ? { namespace } : {});
  }

  collect(): ServerMessage | undefined {
    if (this.#count === 0) return undefined;
    const [kept, count, counts] = [this.#kept, this.#count, this.#counts];
    this.#kept = [];
    this.#count = 0;
    this.#counts = {};
    const newest = kept.sort((a, b) => b.position - a.position);
    return {
      ...{ type: 'updates', id: this.#id, counts, sampledAway: count - kept.length },
      rows: newest.map((update) => this.#presenter.row(update)),
      position: newest[0]?.position ?? 0,
    };
  }

  stop(): void {
    this.#stop();
  }

  #keep(update: Update): void {
    this.#kept[this.#count % this.#limit] = update;
    this.#count += 1;
    this.#counts[update.operation] = (this.#counts[update.operation] ?? 0) + 1;
  }
}
