import { signal } from '@preact/signals';
import type { EntrySummary, NamespaceSummary, TreeGroup, TreeItem, TreePage } from '../../data-protocol.ts';
import { get } from '../api.ts';

type Node = TreeGroup | TreeItem<NamespaceSummary | EntrySummary>;

/** A branch of the tree: namespaces below a prefix, or keys below one. */
export interface Branch {
  /** Namespace of the keys. `undefined` in a branch of namespaces. */
  readonly namespace: string | undefined;
  readonly prefix: string;
}

/** A line of the tree. */
export type TreeRow = { readonly depth: number; readonly id: string } & (
  | {
      readonly kind: 'group';
      readonly branch: Branch;
      readonly label: string;
      readonly count: number;
      readonly open: boolean;
    }
  | {
      readonly kind: 'namespace';
      readonly branch: Branch;
      readonly label: string;
      readonly item: NamespaceSummary;
      readonly open: boolean;
    }
  | { readonly kind: 'key'; readonly namespace: string; readonly label: string; readonly item: EntrySummary }
  | { readonly kind: 'more' | 'waiting'; readonly branch: Branch }
  | { readonly kind: 'failed'; readonly branch: Branch; readonly message: string }
);

interface Fetched {
  readonly items: readonly Node[];
  readonly next: string | null;
  readonly total: number;
  readonly error?: string;
}

const PAGE = 200;
const ROOT: Branch = { namespace: undefined, prefix: '' };
/** Open branches that are refreshed after an update, the ones opened last. */
const REFRESHED = 12;

const idOf = ({ namespace, prefix }: Branch): string =>
  namespace === undefined ? `n\n${prefix}` : `k\n${namespace}\n${prefix}`;

/** Namespaces and keys by separator, fetched branch by branch, of the present or of a view. */
export class DataTreeStore {
  readonly rows = signal<readonly TreeRow[] | undefined>(undefined);
  readonly total = signal<number | undefined>(undefined);
  /** Called if updates had overtaken an answer before it came. */
  onOvertaken: () => void = () => {};
  readonly #at: number | undefined;
  readonly #open = new Map<string, Branch>();
  readonly #fetched = new Map<string, Fetched>();
  readonly #fetching = new Set<string>();
  readonly #giveUp = new AbortController();

  /** `reveal`: the namespace or key whose branches are open at first. */
  constructor(at: number | undefined, reveal?: { readonly namespace: string; readonly key?: string }) {
    this.#at = at;
    if (reveal !== undefined) this.#reveal(reveal.namespace, reveal.key);
  }

  close(): void {
    this.#giveUp.abort();
  }

  async begin(): Promise<void> {
    await Promise.all([this.#fetch(ROOT), ...[...this.#open.values()].map((branch) => this.#fetch(branch))]);
    const [only, ...others] = this.#fetched.get(idOf(ROOT))?.items ?? [];
    if (only?.kind === 'group' && others.length === 0 && this.#open.size === 0) {
      this.toggle({ namespace: undefined, prefix: only.prefix });
    }
  }

  /** Fetches the first pages of the open branches again. */
  async refresh(): Promise<void> {
    const open = [...this.#open.values()].slice(-REFRESHED);
    await Promise.all([ROOT, ...open].map((branch) => this.#fetch(branch)));
  }

  toggle(branch: Branch): void {
    const id = idOf(branch);
    if (this.#open.delete(id)) this.#fetched.delete(id);
    else {
      this.#open.set(id, branch);
      void this.#fetch(branch);
    }
    this.#show();
  }

  isOpen(branch: Branch): boolean {
    return this.#open.has(idOf(branch));
  }

  async more(branch: Branch): Promise<void> {
    await this.#fetch(branch, this.#fetched.get(idOf(branch))?.next ?? undefined);
  }

  /** Opens the branches above a namespace or a key. Names are cut at the server's default separators. */
  #reveal(namespace: string, key: string | undefined): void {
    for (const prefix of prefixesOf(namespace)) this.#openAt({ namespace: undefined, prefix });
    this.#openAt({ namespace, prefix: '' });
    for (const prefix of key === undefined ? [] : prefixesOf(key)) this.#openAt({ namespace, prefix });
  }

  #openAt(branch: Branch): void {
    this.#open.set(idOf(branch), branch);
  }

  async #fetch(branch: Branch, after?: string): Promise<void> {
    const id = idOf(branch);
    if (this.#fetching.has(id)) return;
    this.#fetching.add(id);
    const had = this.#fetched.get(id);
    try {
      const page = await this.#ask(branch, after);
      // A refresh replaces the first page and keeps those behind it.
      const rest = after === undefined ? [] : (had?.items ?? []);
      const isLonger = after === undefined && had !== undefined && had.items.length > page.items.length;
      const tail = isLonger ? had.items.slice(page.items.length) : [];
      const next = isLonger && page.next !== null ? had.next : page.next;
      const items = [...rest, ...page.items, ...(page.next === null ? [] : tail)];
      this.#fetched.set(id, { items, next, total: page.total });
      if (!page.current) this.onOvertaken();
    } catch (error) {
      if (this.#giveUp.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#fetched.set(id, { ...(had ?? { items: [], next: null, total: 0 }), error: message });
    } finally {
      this.#fetching.delete(id);
    }
    this.#show();
  }

  #ask({ namespace, prefix }: Branch, after: string | undefined): Promise<TreePage<NamespaceSummary | EntrySummary>> {
    const { signal: giveUp } = this.#giveUp;
    const query = { prefix, after, at: this.#at, limit: PAGE };
    if (namespace !== undefined) return get('GET /api/keys', { ...query, namespace }, giveUp);
    return get('GET /api/namespaces', query, giveUp);
  }

  #show(): void {
    if (this.#giveUp.signal.aborted) return;
    const root = this.#fetched.get(idOf(ROOT));
    if (root === undefined) return;
    const rows: TreeRow[] = [];
    this.#list(ROOT, 0, rows);
    this.total.value = root.total;
    this.rows.value = rows;
  }

  #list(branch: Branch, depth: number, rows: TreeRow[]): void {
    const id = idOf(branch);
    const fetched = this.#fetched.get(id);
    if (fetched === undefined) {
      rows.push({ kind: 'waiting', id: `${id}\nwaiting`, depth, branch });
      return;
    }
    for (const node of fetched.items) this.#add(node, branch, depth, rows);
    const { error, next } = fetched;
    if (error !== undefined) rows.push({ kind: 'failed', id: `${id}\nfailed`, depth, branch, message: error });
    else if (next !== null) rows.push({ kind: 'more', id: `${id}\nmore`, depth, branch });
  }

  #add(node: Node, { namespace }: Branch, depth: number, rows: TreeRow[]): void {
    const { label } = node;
    if (node.kind === 'item' && namespace !== undefined) {
      const item = node.item as EntrySummary;
      rows.push({ kind: 'key', id: `key\n${namespace}\n${item.key}`, depth, namespace, label, item });
      return;
    }
    const isGroup = node.kind === 'group';
    const branch: Branch = isGroup
      ? { namespace, prefix: node.prefix }
      : { namespace: (node.item as NamespaceSummary).name, prefix: '' };
    const open = this.isOpen(branch);
    const id = idOf(branch);
    if (isGroup) rows.push({ kind: 'group', id, depth, branch, label, count: node.count, open });
    else rows.push({ kind: 'namespace', id, depth, branch, label, item: node.item as NamespaceSummary, open });
    if (open) this.#list(branch, depth + 1, rows);
  }
}

/** `a/b:c` lies below `a/` and `a/b:`. */
function prefixesOf(name: string): string[] {
  return [...name.matchAll(/[:/.]/g)].map(({ index }) => name.slice(0, index + 1)).filter((each) => each !== name);
}
