import type { Entry, JsonValue, Update } from '../../src/index.ts';

/** An update as the model knows it. */
export type Logged = Omit<Update, 'bytes'>;
/** A namespace. Never changed, only replaced. */
interface Space {
  readonly version: number;
  readonly position: number;
  readonly entries: ReadonlyMap<string, Entry>;
}
/** All namespaces at one position. */
type StateView = ReadonlyMap<string, Space>;

export interface Step {
  readonly operation: 'set' | 'delete' | 'touch';
  readonly key: string;
  readonly value?: JsonValue;
  readonly expiresAt?: number | null;
  readonly ifVersion?: number | undefined;
}

export interface Answer {
  readonly version: number;
  readonly position: number;
  readonly changed: boolean;
}

const NONE: Space = { version: 0, position: 0, entries: new Map() };

/** The behaviour of a cache in plain maps: the log, and all namespaces at each of its positions. */
export class Model {
  /** Position of the oldest state that can be read. */
  begin = 0;
  /** The floor of a branch at its start: that of its parent when it was made, or 0 for a branch from position 0. */
  #inherited = 0;
  /** Changes how updates are folded, for controls. */
  rule: (update: Logged) => Logged = (update) => update;
  readonly log: Logged[] = [];
  readonly #moments: StateView[] = [new Map()];

  get head(): number {
    return this.log.length;
  }

  names(position = this.head): string[] {
    return [...new Set(['default', ...this.#at(position).keys()])].sort();
  }

  entries(namespace: string, position = this.head): Entry[] {
    return [...this.#space(namespace, position).entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  entry(key: string, namespace: string): Entry | undefined {
    return this.#space(namespace).entries.get(key);
  }

  /** Returns the expired entries of the namespace at an instant, in the order in which they are removed. */
  over(namespace: string, now: number): Entry[] {
    const over = this.entries(namespace).filter(({ expiresAt }) => expiresAt !== null && expiresAt <= now);
    return over.sort((a, b) => (a.expiresAt as number) - (b.expiresAt as number) || (a.key < b.key ? -1 : 1));
  }

  expire(namespace: string, key: string, at: number): void {
    const replaced = this.entry(key, namespace)?.version ?? 0;
    this.#append({ namespace, operation: 'expire', key, at, replaced });
  }

  /** Runs the steps of one command, all or none. */
  steps(namespace: string, at: number, agent: string | null, steps: readonly Step[]): Answer | 'conflict' {
    const before = this.head;
    for (const { operation, key, value = null, expiresAt = null, ifVersion } of steps) {
      const present = this.entry(key, namespace)?.version ?? 0;
      if (ifVersion !== undefined && ifVersion !== present) {
        this.#cut(before);
        return 'conflict';
      }
      if (operation !== 'set' && present === 0) continue;
      const kept = operation === 'delete' ? null : expiresAt;
      const stored = operation === 'set' ? value : null;
      this.#append({ namespace, operation, key, at, agent, replaced: present, value: stored, expiresAt: kept });
    }
    return this.#answer(namespace, before);
  }

  clear(namespace: string, at: number, agent: string | null, drop: boolean): Answer {
    const { version, entries } = this.#space(namespace);
    const before = this.head;
    if (drop ? version > 0 : entries.size > 0) {
      this.#append({ namespace, operation: 'clear_namespace', key: null, at, agent, drop });
    }
    return this.#answer(namespace, before, drop ? version + 1 : undefined);
  }

  /** Restarts with the state at a position. */
  restore(position: number): void {
    this.#cut(position);
    this.begin = position;
  }

  /** Makes a model of its own that starts at a position of this one. */
  fork(position: number): Model {
    const branch = new Model();
    branch.log.push(...this.log.slice(0, position));
    branch.#moments.splice(0, 1, ...this.#moments.slice(0, position + 1));
    branch.begin = position;
    branch.#inherited = position > 0 ? this.#floor : 0;
    return branch;
  }

  /** Appends a given update at the next position. */
  adopt({ version: _, position: __, begins: ___, ...update }: Logged): Logged {
    this.#append(update);
    return this.log.at(-1) as Logged;
  }

  /** Discards the past before a position. */
  forget(position: number): void {
    this.begin = Math.max(this.begin, position);
  }

  #answer(namespace: string, before: number, version?: number): Answer {
    const space = this.#space(namespace);
    const changed = this.head > before;
    return {
      version: changed ? (version ?? space.version) : space.version,
      position: changed ? this.head : space.position,
      changed,
    };
  }

  #append(given: Partial<Logged> & Pick<Logged, 'namespace' | 'operation' | 'key' | 'at'>): void {
    const { version: last } = this.#space(given.namespace);
    const floor = this.#floor;
    const begins = last === 0 && floor > 0 ? { begins: true as const } : {};
    const place = { position: this.head + 1, version: (last || floor) + 1, ...begins };
    const rest = { agent: null, value: null, expiresAt: null, replaced: 0, drop: false };
    const update: Logged = { ...place, ...rest, ...given };
    this.log.push(update);
    this.#moments.push(fold(this.#at(this.head - 1), this.rule(update)));
  }

  /** The highest version that a dropped namespace has had. */
  get #floor(): number {
    return this.log.reduce((floor, { drop, version }) => (drop ? Math.max(floor, version) : floor), this.#inherited);
  }

  #cut(head: number): void {
    this.log.length = head;
    this.#moments.length = head + 1;
  }

  #space(namespace: string, position = this.head): Space {
    return this.#at(position).get(namespace) ?? NONE;
  }

  #at(position: number): StateView {
    return this.#moments[position] as StateView;
  }
}

function fold(
  before: StateView,
  { namespace, operation, key, value, version, position, at, agent, expiresAt, drop }: Logged,
): StateView {
  const after = new Map(before);
  const entries = new Map(before.get(namespace)?.entries);
  const old = key === null ? undefined : entries.get(key);
  if (key === null) entries.clear();
  else if (operation !== 'set' && operation !== 'touch') entries.delete(key);
  else {
    const kept = operation === 'set' ? value : (old as Entry).value;
    entries.set(key, {
      namespace,
      key,
      value: kept,
      version,
      createdAt: old?.createdAt ?? at,
      updatedAt: at,
      expiresAt,
      agent,
    });
  }
  if (drop) after.delete(namespace);
  else after.set(namespace, { version, position, entries });
  return after;
}
