import { DEFAULT_NAMESPACE } from '../names.ts';
import { firstWhere } from '../search.ts';
import type { Update } from '../update.ts';

/** The updates of a namespace since it was created, or since the first one that is known. */
interface Incarnation {
  /** Version of the first one. */
  readonly first: number;
  /** Their positions, by version. */
  readonly positions: number[];
  /** Hashes of their keys, by version: a basis may name the version of another key. {@link SEVERAL} for an update of several. */
  readonly hashes: number[];
  /** Ranges of bases that name versions of it, in the order of the updates with the bases. */
  readonly ranges: Range[];
}

/** A range of a basis. */
interface Range {
  /** Position of the update with the basis. */
  readonly by: number;
  readonly incarnation: Incarnation;
  readonly prefix: string;
  readonly from: number;
  readonly to: number;
}

/** Stands for the keys of an update of several. */
const SEVERAL = -1;

/** Returns a hash of a key, 32 bits (FNV-1a over its code units). */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** What an update is based on. */
interface Based {
  /** Positions of the updates that it names, and of the entry that a `touch` keeps. */
  readonly causes: number[];
  readonly ranges: Range[];
  /** Anything up to this position. */
  until: number;
}

/** An update that may have been based on another one. */
export interface Effect {
  readonly position: number;
  /** It names the version of that one, and a key with the hash of that one's key, or any key if that one is of several. */
  readonly names: boolean;
  /** It read some entries of a range, or anything up to a position, that one perhaps among them. */
  readonly covers: boolean;
}

/**
 * Which updates are based on which, derived from the updates of a log in their order: it can be rebuilt at any time. Holds the
 * positions of the updates of each namespace by version, and the links of updates that have a basis; keys and values
 * stay in the log. A `touch` is based on the entry that it keeps.
 */
export class BasisGraph {
  readonly #namespaces = new Map<string, Incarnation[]>();
  /** Positions of the updates that name the update at a position in their basis, in order. */
  readonly #effects = new Map<number, number[]>();
  readonly #based = new Map<number, Based>();
  /** Updates that may be based on anything up to a position, in order. */
  readonly #untils: { readonly by: number; readonly until: number }[] = [];

  /** Adds an update that follows all others. */
  add(update: Update): void {
    const { namespace, position, basis, operation, replaced } = update;
    if (operation === 'touch') this.#link(this.#causeOf(namespace, update.key ?? '', replaced), position);
    for (const reading of basis ?? []) {
      if ('position' in reading) {
        this.#untils.push({ by: position, until: reading.position });
        const based = this.#basedOf(position);
        based.until = Math.max(based.until, reading.position);
      } else if ('key' in reading) this.#link(this.#causeOf(reading.namespace, reading.key, reading.version), position);
      else {
        const { namespace: name = DEFAULT_NAMESPACE, prefix = '', from, to } = reading;
        const incarnation = this.#namespaces.get(name)?.at(-1);
        if (incarnation === undefined) continue;
        const range = { by: position, incarnation, prefix, from, to };
        this.#basedOf(position).ranges.push(range);
        incarnation.ranges.push(range);
      }
    }
    this.#place(update);
  }

  /** Returns the position of the last update of a namespace with a version, up to the position `until`. */
  positionOf(namespace: string = DEFAULT_NAMESPACE, version = 0, until = Number.POSITIVE_INFINITY): number | undefined {
    const incarnations = this.#namespaces.get(namespace) ?? [];
    for (let index = incarnations.length - 1; index >= 0; index -= 1) {
      const { first, positions } = incarnations[index] as Incarnation;
      const position = positions[version - first];
      if (position !== undefined && position <= until) return position;
    }
    return undefined;
  }

  /**
   * Returns the later updates that are based on an update, or may be, each once, in order of position. Looks at every later update whose
   * basis has a position, or a range of the same namespace.
   */
  effectsOf({ namespace, key, keys, version, position }: Update): Effect[] {
    const covering = new Set<number>();
    for (const { by, until } of after(this.#untils, position)) if (until >= position) covering.add(by);
    const names = keys ?? (key === null ? undefined : [key]);
    const own = this.#namespaces
      .get(namespace)
      ?.findLast(({ first, positions }) => positions[version - first] === position);
    for (const { by, prefix, from, to } of after(own?.ranges ?? [], position)) {
      if (version < from || version > to) continue;
      if (names === undefined || names.some((name) => name.startsWith(prefix))) covering.add(by);
    }
    const naming = new Set(this.#effects.get(position));
    return Array.from(new Set([...covering, ...naming]), (by) => ({
      position: by,
      names: naming.has(by),
      covers: covering.has(by),
    })).sort((a, b) => a.position - b.position);
  }

  /**
   * Returns whether the basis of the update at a position reaches an earlier update: names it, or a later one that reaches it, or a
   * range or a position that it may lie in. Looks only at what lies between the two.
   */
  reaches(position: number, earlier: Pick<Update, 'position' | 'key' | 'version'>): boolean {
    const seen = new Set([position]);
    for (const each of seen) {
      const based = this.#based.get(each);
      if (based === undefined) continue;
      if (based.until >= earlier.position || based.ranges.some((range) => mayHold(range, earlier))) return true;
      for (const cause of based.causes) {
        if (cause === earlier.position) return true;
        if (cause > earlier.position) seen.add(cause);
      }
    }
    return false;
  }

  /** Returns the position of the last update of a namespace with a version if it is one of this key. */
  #causeOf(namespace: string | undefined, key: string, version: number): number | undefined {
    for (const { first, positions, hashes } of (
      this.#namespaces.get(namespace ?? DEFAULT_NAMESPACE) ?? []
    ).toReversed()) {
      const hash = hashes[version - first];
      if (hash !== undefined) return hash === SEVERAL || hash === hashOf(key) ? positions[version - first] : undefined;
    }
    return undefined;
  }

  #basedOf(position: number): Based {
    let based = this.#based.get(position);
    if (based === undefined) {
      based = { causes: [], ranges: [], until: 0 };
      this.#based.set(position, based);
    }
    return based;
  }

  #link(cause: number | undefined, effect: number): void {
    if (cause === undefined) return;
    this.#basedOf(effect).causes.push(cause);
    const known = this.#effects.get(cause);
    if (known === undefined) this.#effects.set(cause, [effect]);
    else if (known.at(-1) !== effect) known.push(effect);
  }

  #place({ namespace, key, version, position, drop }: Update): void {
    let incarnations = this.#namespaces.get(namespace);
    if (incarnations === undefined) {
      incarnations = [];
      this.#namespaces.set(namespace, incarnations);
    }
    const last = incarnations.at(-1);
    const hash = key === null ? SEVERAL : hashOf(key);
    if (last !== undefined && last.first + last.positions.length === version) {
      last.positions.push(position);
      last.hashes.push(hash);
    } else incarnations.push({ first: version, positions: [position], hashes: [hash], ranges: [] });
    // The next update of this name has at least this version.
    if (drop) incarnations.push({ first: version + 1, positions: [], hashes: [], ranges: [] });
  }
}

/** Yields what updates after a position have added to a list in their order. */
function* after<Added extends { readonly by: number }>(
  added: readonly Added[],
  position: number,
): Generator<Added, void, undefined> {
  const first = firstWhere(0, added.length, (at) => (added[at] as Added).by > position);
  for (let at = first; at < added.length; at += 1) yield added[at] as Added;
}

function mayHold(
  { incarnation, prefix, from, to }: Range,
  { position, key, version }: Pick<Update, 'position' | 'key' | 'version'>,
): boolean {
  if (version < from || version > to || incarnation.positions[version - incarnation.first] !== position) return false;
  return key === null || key.startsWith(prefix);
}
