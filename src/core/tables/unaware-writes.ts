import { isNoted } from '../retraction.ts';
import { firstWhere } from '../search.ts';
import type { Update } from '../update.ts';
import type { BasisGraph } from './basis-graph.ts';

/** A write of a key whose writer did not know of the write before it. */
export interface UnawareWrite {
  readonly namespace: string;
  readonly position: number;
  /** Position of the write before it. */
  readonly earlier: number;
}

/** The last write of a key that has a basis. */
type LastWrite = Pick<Update, 'position' | 'namespace' | 'key' | 'version' | 'agent'>;

/**
 * Writes of a key by another agent than the one before, from a basis that does not reach that one: neither does it name it, nor
 * a write that is based on it, nor a range or a position that it may lie in. Derived from the updates of a log in their order.
 * A write without a basis says nothing about what its writer knew, so nothing is found about it or about the next one.
 */
export class UnawareWrites {
  readonly #graph: BasisGraph;
  readonly #last = new Map<string, Map<string, LastWrite>>();
  readonly #found: UnawareWrite[] = [];

  constructor(graph: BasisGraph) {
    this.#graph = graph;
  }

  /** Adds an update that follows all others, after the graph has taken it in. Returns what it has found. */
  add(update: Update): UnawareWrite | undefined {
    const { namespace, key, keys, operation, basis, position, version, agent, meta } = update;
    if (key === null) {
      const own = this.#last.get(namespace);
      if (keys === undefined) this.#last.delete(namespace);
      else for (const each of keys) own?.delete(each);
      return undefined;
    }
    // A touch decides nothing about the value, and a retraction knows of what it takes back.
    if (operation === 'touch') return undefined;
    let own = this.#last.get(namespace);
    const earlier = own?.get(key);
    if (basis === undefined || isNoted(meta)) {
      own?.delete(key);
      return undefined;
    }
    if (own === undefined) {
      own = new Map();
      this.#last.set(namespace, own);
    }
    own.set(key, { position, namespace, key, version, agent });
    if (earlier === undefined || earlier.agent === agent || this.#graph.reaches(position, earlier)) return undefined;
    const found = { namespace, position, earlier: earlier.position };
    this.#found.push(found);
    return found;
  }

  /** Yields what was found after a position, in order. */
  *after(position: number): Generator<UnawareWrite, void, undefined> {
    const first = firstWhere(0, this.#found.length, (at) => (this.#found[at] as UnawareWrite).position > position);
    for (let at = first; at < this.#found.length; at += 1) yield this.#found[at] as UnawareWrite;
  }
}
