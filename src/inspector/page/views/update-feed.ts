import { signal } from '@preact/signals';
import type { UpdateFilter, UpdateRow } from '../../data-protocol.ts';
import type { UpdatesMessage } from '../../live-protocol.ts';
import { get } from '../api.ts';
import { oncePerFrame } from '../clock.ts';
import { subscribe } from '../live.ts';

/** Rows kept. Older ones are loaded again when the reader scrolls there. */
const KEPT = 20_000;
/** Rows of a page of the log, and of a batch of the feed. */
const PAGE = 200;

/** The state of the feed. It changes as a whole, at most once a frame. */
export interface FeedState {
  /** Newest first. */
  readonly rows: readonly UpdateRow[];
  /** Rows added at the top since the list was loaded. */
  readonly prepended: number;
  /** Updates that matched the filter since the view was opened, by operation. */
  readonly counts: Readonly<Record<string, number>>;
  /** Updates among these that came too fast to be listed. */
  readonly sampledAway: number;
  /** Updates that came while the list is paused; `undefined` if it is not paused. */
  readonly waiting: number | undefined;
  /** The log holds older updates. */
  readonly hasOlder: boolean;
  readonly loaded: boolean;
  readonly error: string | undefined;
}

const EMPTY: FeedState = {
  rows: [],
  prepended: 0,
  counts: {},
  sampledAway: 0,
  waiting: undefined,
  hasOlder: false,
  loaded: false,
  error: undefined,
};

/** The updates that match a filter: those in the log, and new ones as they come. */
export class UpdateFeed {
  readonly state = signal<FeedState>(EMPTY);
  readonly #filter: UpdateFilter;
  readonly #giveUp = new AbortController();
  readonly #stop: () => void;
  readonly #publish: () => void;
  #next: FeedState = EMPTY;
  #fetching = false;

  constructor(filter: UpdateFilter) {
    this.#filter = filter;
    this.#publish = oncePerFrame(() => {
      this.state.value = this.#next;
    });
    this.#stop = subscribe({ feed: 'updates', filter, limit: PAGE }, (message) => this.#take(message), this.#fail);
  }

  close(): void {
    this.#stop();
    this.#giveUp.abort();
  }

  /** Loads the newest updates of the log. */
  async begin(): Promise<void> {
    await this.#fetch(undefined, ({ rows }, older) => joined(rows, older));
  }

  /** Loads the updates before the oldest one in the list. */
  async older(): Promise<void> {
    const oldest = this.#next.rows.at(-1);
    if (oldest === undefined || !this.#next.hasOlder) return;
    await this.#fetch(oldest.position, ({ rows }, older) => [...rows, ...older]);
  }

  /** Pauses the list. New updates are counted. */
  pause(): void {
    this.#change({ waiting: 0 });
  }

  /** Loads the newest updates from the log again, without gaps even if some had been sampled away. */
  async resume(): Promise<void> {
    this.#change({ waiting: undefined, rows: [], prepended: 0, sampledAway: 0, loaded: false });
    await this.begin();
  }

  #take({ rows, counts, sampledAway }: UpdatesMessage): void {
    const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
    const sums: Record<string, number> = { ...this.#next.counts };
    for (const [operation, one] of Object.entries(counts)) sums[operation] = (sums[operation] ?? 0) + one;
    const { waiting } = this.#next;
    if (waiting !== undefined) {
      this.#change({ counts: sums, waiting: waiting + all });
      return;
    }
    const newest = this.#next.rows[0]?.position ?? 0;
    const fresh = rows.filter(({ position }) => position > newest);
    this.#change({
      counts: sums,
      sampledAway: this.#next.sampledAway + sampledAway,
      rows: [...fresh, ...this.#next.rows].slice(0, KEPT),
      prepended: this.#next.prepended + fresh.length,
      hasOlder: this.#next.hasOlder || this.#next.rows.length + fresh.length > KEPT,
    });
  }

  async #fetch(
    before: number | undefined,
    join: (now: FeedState, older: readonly UpdateRow[]) => readonly UpdateRow[],
  ): Promise<void> {
    if (this.#fetching) return;
    this.#fetching = true;
    try {
      const query = { ...this.#filter, before, limit: PAGE };
      const { items, next } = await get('GET /api/updates', query, this.#giveUp.signal);
      this.#change({ rows: join(this.#next, items), hasOlder: next !== null, loaded: true, error: undefined });
    } catch (error) {
      if (!this.#giveUp.signal.aborted) this.#fail(error instanceof Error ? error.message : String(error));
    } finally {
      this.#fetching = false;
    }
  }

  readonly #fail = (message: string): void => this.#change({ error: message, loaded: true });

  #change(change: Partial<FeedState>): void {
    this.#next = { ...this.#next, ...change };
    this.#publish();
  }
}

/** Merges both lists, newest first, each update once. */
function joined(a: readonly UpdateRow[], b: readonly UpdateRow[]): UpdateRow[] {
  const byPosition = new Map([...b, ...a].map((row) => [row.position, row]));
  return [...byPosition.values()].sort((x, y) => y.position - x.position).slice(0, KEPT);
}
