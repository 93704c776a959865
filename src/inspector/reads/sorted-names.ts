import { compareNames } from '../../core/names.ts';
import type { TimeSlice } from '../../core/time-slice.ts';
import { compareNaturally, endsInNumber } from './natural-order.ts';

/** A part of a tree of names. */
export interface TreeQuery {
  readonly prefix: string;
  readonly separators: readonly string[];
  /** The `next` of the previous page. */
  readonly after: string | undefined;
  readonly limit: number;
}

/** A group of names that share a prefix, or one name. */
export type Branching =
  | { readonly kind: 'group'; readonly label: string; readonly prefix: string; readonly count: number }
  | { readonly kind: 'item'; readonly label: string; readonly name: string };

/** Some names in order, and the cursor of the next page. */
export interface NamePage<Node> {
  readonly nodes: readonly Node[];
  readonly next: string | null;
  readonly total: number;
}

/** Names tested between two looks at the time. */
const LOOKS = 4_096;

/**
 * Names in natural order, found by halving: a question about a prefix costs the same however many names there are.
 * Only a prefix or a separator that ends in a digit costs a look at every name.
 */
export class SortedNames {
  readonly names: readonly string[];
  readonly #compare: (a: string, b: string) => number;

  /** The names must be sorted by `compare` already. */
  constructor(names: readonly string[], compare: (a: string, b: string) => number = compareNaturally) {
    this.names = names;
    this.#compare = compare;
  }

  /** Returns what is directly below a prefix: groups up to the next separator, and names. */
  tree(query: TreeQuery): NamePage<Branching> {
    const { prefix, separators, after, limit } = query;
    const plain = this.#compare === compareNames;
    if (!plain && separators.some(endsInNumber)) return this.#plain(prefix).tree(query);
    if (!plain && endsInNumber(prefix)) return this.#below(prefix).#tree(query);
    return this.#tree({ prefix, separators, after, limit });
  }

  #tree({ prefix, separators, after, limit }: TreeQuery): NamePage<Branching> {
    const begin = this.#from(prefix);
    const end = this.#behind(prefix, begin);
    const nodes: Branching[] = [];
    let at = after === undefined ? begin : Math.max(begin, this.#resume(after));
    while (at < end && nodes.length < limit) {
      const node = this.#node(at, prefix, separators);
      nodes.push(node);
      at += node.kind === 'group' ? node.count : 1;
    }
    return { nodes, total: Math.max(0, end - begin), next: at < end ? cursorOf(nodes.at(-1)) : null };
  }

  /** Returns the names below a prefix that contain a text, in any case. Looks at all of them, with pauses. */
  async search(
    { prefix, after, limit }: Omit<TreeQuery, 'separators'>,
    text: string,
    slice: TimeSlice,
  ): Promise<NamePage<Branching>> {
    const wanted = text.toLowerCase();
    const start = after === undefined ? 0 : this.#resume(after);
    const nodes: Branching[] = [];
    let total = 0;
    let more = false;
    for (const [at, name] of this.names.entries()) {
      if (at % LOOKS === 0) await slice.pause();
      if (!name.startsWith(prefix) || !name.toLowerCase().includes(wanted)) continue;
      total += 1;
      if (at >= start && nodes.length < limit) nodes.push({ kind: 'item', label: name.slice(prefix.length), name });
      else if (at >= start) more = true;
    }
    return { nodes, total, next: more ? cursorOf(nodes.at(-1)) : null };
  }

  /** The names below a prefix that ends in a digit: `task-1` has `task-10` below it, but `task-2` comes between. */
  #below(prefix: string): SortedNames {
    return new SortedNames(this.names.filter((name) => name.startsWith(prefix)));
  }

  #plain(prefix: string): SortedNames {
    return new SortedNames(this.#below(prefix).names.toSorted(compareNames), compareNames);
  }

  /** Returns the index of the first name that is not before `name`. */
  from(name: string): number {
    return this.#from(name);
  }

  /** Returns the index of the first name behind `name`. */
  after(name: string): number {
    return this.#resume(`i${name}`);
  }

  #node(at: number, prefix: string, separators: readonly string[]): Branching {
    const name = this.names[at] as string;
    const cut = firstCut(name, prefix.length, separators);
    const group = name.slice(0, cut);
    const count = cut < 0 ? 1 : this.#behind(group, at) - at;
    // A group of one would be a needless step.
    if (count === 1) return { kind: 'item', label: name.slice(prefix.length), name };
    return { kind: 'group', label: group.slice(prefix.length), prefix: group, count };
  }

  /** Index of the first name that is not before `name`. */
  #from(name: string): number {
    return this.#first(0, (other) => this.#compare(other, name) >= 0);
  }

  /** Index of the first name behind those that begin with `prefix`, which are in one place. */
  #behind(prefix: string, from: number): number {
    return this.#first(from, (other) => !other.startsWith(prefix) && this.#compare(other, prefix) > 0);
  }

  #resume(cursor: string): number {
    const name = cursor.slice(1);
    const from = this.#from(name);
    if (cursor.startsWith('g')) return this.#behind(name, from);
    return this.names[from] === name ? from + 1 : from;
  }

  #first(from: number, isBehind: (name: string) => boolean): number {
    let [low, high] = [from, this.names.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.names[middle] as string)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function cursorOf(node: Branching | undefined): string | null {
  if (node === undefined) return null;
  return node.kind === 'group' ? `g${node.prefix}` : `i${node.name}`;
}

/** Returns the index after the first separator from `start` on; -1 without one. */
function firstCut(name: string, start: number, separators: readonly string[]): number {
  let best = -1;
  let bestAt = Number.POSITIVE_INFINITY;
  for (const separator of separators) {
    const at = name.indexOf(separator, start);
    if (at < 0 || at >= bestAt) continue;
    bestAt = at;
    best = at + separator.length;
  }
  return best;
}
