import { DEFAULT_NAMESPACE } from '../names.ts';
import type { Update } from '../update.ts';

/** The updates of a namespace since it was created, or since the first one that is known. */
interface Incarnation {
  /** Version of the first one. */
  readonly first: number;
  /** Their positions, by version. */
  readonly positions: number[];
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

/** An update that may have been based on another one. */
export interface Effect {
  readonly position: number;
  /** `false`: it read some entries of a range, or anything up to a position, and perhaps not that one. */
  readonly certain: boolean;
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
  readonly #ranges = new Map<string, Range[]>();
  /** Updates that may be based on anything up to a position. */
  readonly #untils: { readonly by: number; readonly until: number }[] = [];

  /** Adds an update that follows all others. */
  add(update: Update): void {
    const { namespace, version, position, basis, operation, replaced, drop } = update;
    if (operation === 'touch') this.#link(this.positionOf(namespace, replaced), position);
    for (const reading of basis ?? []) {
      if ('position' in reading) this.#untils.push({ by: position, until: reading.position });
      else if ('key' in reading) this.#link(this.positionOf(reading.namespace, reading.version), position);
      else {
        const { namespace: name = DEFAULT_NAMESPACE, prefix = '', from, to } = reading;
        const incarnation = this.#namespaces.get(name)?.at(-1);
        if (incarnation === undefined) continue;
        const range = { by: position, incarnation, prefix, from, to };
        const known = this.#ranges.get(name);
        if (known === undefined) this.#ranges.set(name, [range]);
        else known.push(range);
      }
    }
    this.#place(namespace, version, position, drop);
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

  /** Returns the later updates that are based on an update, or may be, each once, in order of position. */
  effectsOf({ namespace, key, keys, version, position }: Update): Effect[] {
    const effects = new Map<number, boolean>();
    for (const { by, until } of this.#untils) if (by > position && until >= position) effects.set(by, false);
    const names = keys ?? (key === null ? undefined : [key]);
    for (const { by, incarnation, prefix, from, to } of this.#ranges.get(namespace) ?? []) {
      const isIn = by > position && from <= version && version <= to;
      if (!isIn || incarnation.positions[version - incarnation.first] !== position) continue;
      if (names === undefined || names.some((name) => name.startsWith(prefix))) effects.set(by, false);
    }
    for (const by of this.#effects.get(position) ?? []) effects.set(by, true);
    return Array.from(effects, ([by, certain]) => ({ position: by, certain })).sort((a, b) => a.position - b.position);
  }

  #link(cause: number | undefined, effect: number): void {
    if (cause === undefined) return;
    const known = this.#effects.get(cause);
    if (known === undefined) this.#effects.set(cause, [effect]);
    else if (known.at(-1) !== effect) known.push(effect);
  }

  #place(namespace: string, version: number, position: number, drop: boolean): void {
    let incarnations = this.#namespaces.get(namespace);
    if (incarnations === undefined) {
      incarnations = [];
      this.#namespaces.set(namespace, incarnations);
    }
    const last = incarnations.at(-1);
    if (last !== undefined && last.first + last.positions.length === version) last.positions.push(position);
    else incarnations.push({ first: version, positions: [position] });
    // The next update of this name has version 1.
    if (drop) incarnations.push({ first: 1, positions: [] });
  }
}
