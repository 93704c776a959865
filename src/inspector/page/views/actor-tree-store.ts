import { signal } from '@preact/signals';
import type { TreeGroup, TreeItem, TreePage } from '../../data-protocol.ts';
import type { Actor } from '../../protocol.ts';
import { get } from '../api.ts';

/** A line below "Namespaces". */
export type ActorTreeRow =
  | {
      readonly kind: 'group';
      readonly depth: number;
      readonly prefix: string;
      readonly label: string;
      readonly count: number;
      readonly open: boolean;
    }
  | { readonly kind: 'actor'; readonly depth: number; readonly label: string; readonly actor: Actor }
  | { readonly kind: 'more'; readonly depth: number; readonly prefix: string };

interface Fetched {
  readonly items: readonly (TreeGroup | TreeItem<Actor>)[];
  readonly next: string | null;
}

const PAGE = 200;
/** Branches fetched again by a refresh, the ones opened last. */
const REFRESHED = 8;

/** The actors of the namespaces, grouped by separator and fetched group by group. */
export class ActorTreeStore {
  readonly rows = signal<readonly ActorTreeRow[] | undefined>(undefined);
  readonly error = signal<string | undefined>(undefined);
  readonly total = signal(0);
  readonly #open: Set<string>;
  readonly #fetched = new Map<string, Fetched>();
  readonly #fetching = new Set<string>();
  readonly #giveUp = new AbortController();

  /** Opens the groups above the actor that is chosen. */
  constructor(chosen: string) {
    const name = chosen.startsWith('namespace:') ? chosen.slice('namespace:'.length) : '';
    this.#open = new Set([...name.matchAll(/[:/.]/g)].map(({ index }) => name.slice(0, index + 1)));
  }

  close(): void {
    this.#giveUp.abort();
  }

  async refresh(): Promise<void> {
    await Promise.all(['', ...[...this.#open].slice(-REFRESHED)].map((prefix) => this.#fetch(prefix)));
  }

  toggle(prefix: string): void {
    if (!this.#open.delete(prefix)) {
      this.#open.add(prefix);
      void this.#fetch(prefix);
    }
    this.#show();
  }

  isOpen(prefix: string): boolean {
    return this.#open.has(prefix);
  }

  async more(prefix: string): Promise<void> {
    await this.#fetch(prefix, this.#fetched.get(prefix)?.next ?? undefined);
  }

  async #fetch(prefix: string, after?: string): Promise<void> {
    if (this.#fetching.has(prefix)) return;
    this.#fetching.add(prefix);
    try {
      const page = await get('GET /api/actor-tree', { prefix, after, limit: PAGE }, this.#giveUp.signal);
      this.#take(prefix, page, after !== undefined);
      if (prefix === '') this.total.value = page.total;
      this.error.value = undefined;
    } catch (error) {
      if (!this.#giveUp.signal.aborted) this.error.value = error instanceof Error ? error.message : String(error);
    } finally {
      this.#fetching.delete(prefix);
    }
    if (!this.#giveUp.signal.aborted) this.#show();
  }

  /** A later page is added; a first page replaces as many items as it has. */
  #take(prefix: string, page: TreePage<Actor>, isLater: boolean): void {
    const had = this.#fetched.get(prefix);
    if (isLater) {
      this.#fetched.set(prefix, { items: [...(had?.items ?? []), ...page.items], next: page.next });
      return;
    }
    const isLonger = had !== undefined && had.items.length > page.items.length && page.next !== null;
    const rest = isLonger ? had.items.slice(page.items.length) : [];
    this.#fetched.set(prefix, { items: [...page.items, ...rest], next: isLonger ? had.next : page.next });
  }

  #show(): void {
    const rows: ActorTreeRow[] = [];
    this.#list('', 0, rows);
    if (this.#fetched.has('')) this.rows.value = rows;
  }

  #list(prefix: string, depth: number, rows: ActorTreeRow[]): void {
    const { items = [], next = null } = this.#fetched.get(prefix) ?? {};
    for (const node of items) {
      if (node.kind === 'item') {
        rows.push({ kind: 'actor', depth, label: node.label === '' ? '(itself)' : node.label, actor: node.item });
        continue;
      }
      const open = this.#open.has(node.prefix);
      rows.push({ kind: 'group', depth, prefix: node.prefix, label: node.label, count: node.count, open });
      if (open) this.#list(node.prefix, depth + 1, rows);
    }
    if (next !== null) rows.push({ kind: 'more', depth, prefix });
  }
}
