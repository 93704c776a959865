import { compareNames } from '../../core/names.ts';
import type { TimeSlice } from '../../core/time-slice.ts';

/** What part of a tree is asked for. */
export interface TreeQuestion {
  readonly prefix: string;
  readonly separators: readonly string[];
  /** The `next` of the page before. */
  readonly after: string | undefined;
  readonly limit: number;
}

/** A group of names that share a prefix, or one name. */
export type Branching =
  | { readonly kind: 'group'; readonly label: string; readonly prefix: string; readonly count: number }
  | { readonly kind: 'item'; readonly label: string; readonly name: string };

/** Some names in order, and how to go on. */
export interface NamePage<Node> {
  readonly nodes: readonly Node[];
  readonly next: string | null;
  readonly total: number;
}

/** Looked at between two pauses. */
const LOOKS = 4_096;

/** Names in the order of `compareNames`, found by halving: what a question costs does not grow with their number. */
export class SortedNames {
  readonly names: readonly string[];

  /** They must be sorted already. */
  constructor(names: readonly string[]) {
    this.names = names;
  }

  /** What is directly below a prefix: groups up to the next separator, and names. */
  tree({ prefix, separators, after, limit }: TreeQuestion): NamePage<Branching> {
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

  /** The names below a prefix that contain a text, whatever its case. All are looked at, with turns in between. */
  async search(
    { prefix, after, limit }: Omit<TreeQuestion, 'separators'>,
    text: string,
    slice: TimeSlice,
  ): Promise<NamePage<Branching>> {
    const wanted = text.toLowerCase();
    const begin = this.#from(prefix);
    const end = this.#behind(prefix, begin);
    const start = after === undefined ? begin : this.#resume(after);
    const nodes: Branching[] = [];
    let total = 0;
    let more = false;
    for (let at = begin; at < end; at += 1) {
      if (at % LOOKS === 0 && slice.over) await slice.pause();
      const name = this.names[at] as string;
      if (!name.toLowerCase().includes(wanted)) continue;
      total += 1;
      if (at >= start && nodes.length < limit) nodes.push({ kind: 'item', label: name.slice(prefix.length), name });
      else if (at >= start) more = true;
    }
    return { nodes, total, next: more ? cursorOf(nodes.at(-1)) : null };
  }

  #node(at: number, prefix: string, separators: readonly string[]): Branching {
    const name = this.names[at] as string;
    const cut = firstCut(name, prefix.length, separators);
    const group = name.slice(0, cut);
    const count = cut < 0 ? 1 : this.#behind(group, at) - at;
    // A group of one would be a step that leads nowhere else.
    if (count === 1) return { kind: 'item', label: name.slice(prefix.length), name };
    return { kind: 'group', label: group.slice(prefix.length), prefix: group, count };
  }

  /** Index of the first name that is not before `name`. */
  #from(name: string): number {
    return this.#first(0, (other) => compareNames(other, name) >= 0);
  }

  /** Index of the first name behind those that begin with `prefix`, which are in one place. */
  #behind(prefix: string, from: number): number {
    return this.#first(from, (other) => !other.startsWith(prefix) && compareNames(other, prefix) > 0);
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

/** Where the first separator from `start` on ends; -1 where there is none. */
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
