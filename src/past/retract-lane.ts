import { retractionOf } from '../core/retraction.ts';
import type { Update } from '../core/update.ts';

/** The updates that a retraction takes back or marks, by position. */
export interface Withdrawn {
  /** Positions of those that were asked for. */
  readonly roots: ReadonlySet<number>;
  /** All that are taken back. */
  readonly withdrawn: ReadonlyMap<number, Update>;
  /** Those whose entries are marked as stale. */
  readonly marked: ReadonlyMap<number, Update>;
}

/** An update of an entry, without its value. */
export type Link = Pick<
  Update,
  'position' | 'version' | 'operation' | 'agent' | 'at' | 'expiresAt' | 'replaced' | 'meta' | 'basis'
>;

/** The write that stands when the latest one is taken back. */
export interface Standing {
  /** Position of the `set`; 0: the key was missing; `undefined`: it is older than all links. */
  readonly position: number | undefined;
  /** The last `touch` of it among the links. */
  readonly touch: Link | undefined;
}

/** Returns an update without its value. */
export function linkOf(update: Update): Link {
  const { position, version, operation, agent, at, expiresAt, replaced, meta, basis } = update;
  return { position, version, operation, agent, at, expiresAt, replaced, meta, basis };
}

/** Operations that decide nothing about the value: they are taken back with the write before them. */
const CONTINUES: ReadonlySet<Update['operation']> = new Set(['touch', 'expire', 'evict']);

/**
 * The updates of one entry, newest first, since the first one that is taken back: tells which of them are taken back, and which one
 * stands then.
 */
export class Lane {
  readonly #given: Withdrawn;
  readonly #links: Link[] = [];
  /** Positions that are taken back, besides those that are given. Computed when all updates are known. */
  #more: Set<number> | undefined;

  constructor(given: Withdrawn) {
    this.#given = given;
  }

  /** Adds an update that is older than all others. */
  push(link: Link): void {
    this.#links.push(link);
  }

  get latest(): Link | undefined {
    return this.#links[0];
  }

  /** `true` if the latest update is taken back. */
  get isBack(): boolean {
    return this.latest !== undefined && this.isWithdrawn(this.latest);
  }

  /** `true` if one of the updates was asked for. */
  get hasRoot(): boolean {
    return this.#links.some(({ position }) => this.#given.roots.has(position));
  }

  /** `true` if one of the updates is taken back. */
  get hasWithdrawn(): boolean {
    return this.#links.some((link) => this.isWithdrawn(link));
  }

  isWithdrawn({ position }: Link): boolean {
    this.#more ??= this.#follow();
    return this.#given.withdrawn.has(position) || this.#more.has(position);
  }

  /** Returns the write that the entry has again, given that the latest update is taken back. */
  standing(): Standing {
    let at = this.#lastBack() + 1;
    const touch = this.#links[at]?.operation === 'touch' ? this.#links[at] : undefined;
    while (this.#links[at]?.operation === 'touch') at += 1;
    const link = this.#links[at];
    if (link !== undefined) return { position: link.operation === 'set' ? link.position : 0, touch };
    const { operation, replaced } = this.#links.at(-1) as Link;
    return { position: operation === 'set' && replaced === 0 ? 0 : undefined, touch };
  }

  /** Returns the index of the oldest update of those in a row that are taken back, the latest being one. */
  #lastBack(): number {
    let at = 0;
    for (;;) {
      const link = this.#links[at] as Link;
      const stands = this.#restoredBy(at);
      const isRoot = this.#given.roots.has(link.position);
      // Updates that an earlier retraction has taken back stay so, unless that retraction is taken back itself.
      if (!isRoot && stands !== undefined && this.isWithdrawn(this.#links[stands] as Link)) at = stands;
      else {
        const older = this.#links[at + 1];
        if (older === undefined || !this.isWithdrawn(older)) return at;
        at += 1;
      }
    }
  }

  /** Returns what is taken back with the given updates: what continues them, and retractions that have restored them. */
  #follow(): Set<number> {
    const more = new Set<number>();
    const links = this.#links;
    const isBack = (at: number) => {
      const link = links[at];
      return link !== undefined && (this.#given.withdrawn.has(link.position) || more.has(link.position));
    };
    for (let at = links.length - 1; at >= 0; at -= 1) {
      const { operation, position } = links[at] as Link;
      const stands = this.#restoredBy(at);
      if ((CONTINUES.has(operation) && isBack(at + 1)) || (stands !== undefined && isBack(stands))) more.add(position);
    }
    return more;
  }

  /** Returns the index of the update that a retraction has restored; `undefined` for another update, or if it is older than all. */
  #restoredBy(at: number): number | undefined {
    const link = this.#links[at] as Link;
    if (link.operation !== 'set' || retractionOf(link) === undefined) return undefined;
    const [reading] = link.basis ?? [];
    if (reading === undefined || !('key' in reading)) return undefined;
    const found = this.#links.findIndex(({ version }, index) => index > at && version === reading.version);
    return found < 0 ? undefined : found;
  }
}
