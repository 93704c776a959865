import { isDeepStrictEqual } from 'node:util';
import type { ContextCommand, JsonValue, Update } from '../../src/index.ts';

/** An update that a command must make, without its position and its instant. */
interface Expected {
  readonly operation: Update['operation'];
  readonly namespace: string;
  readonly key: string | null;
  readonly value: JsonValue;
  readonly agent: string | null;
  readonly drop: boolean;
  /** Milliseconds after its instant; `null`: never. */
  readonly ttl: number | null;
}

/** One entry of the model, with what readers of a cache see of it. */
interface ModelEntry {
  readonly value: JsonValue;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
}

interface Space {
  version: number;
  readonly entries: Map<string, ModelEntry>;
}

/** The readable part of a cache or of a view. */
export interface Shown {
  listNamespaces(): string[];
  entries(namespace: string): ({ readonly key: string } & ModelEntry)[];
}

/** A model that shares no code with the package: the state after updates, and the updates that commands make. */
export class Model {
  readonly spaces = new Map<string, Space>();
  /** The highest version that a dropped namespace has had. */
  #floor = 0;

  /** Folds an update in. Throws if it is not the next one of its namespace, or removes what was not due. */
  take(update: Update): void {
    const { namespace, operation, key, at, version } = update;
    const space = this.spaces.get(namespace) ?? { version: this.#floor, entries: new Map() };
    if (version !== space.version + 1) throw new Error(`it has version ${version} after ${space.version}`);
    space.version = version;
    this.spaces.set(namespace, space);
    const before = key === null ? undefined : space.entries.get(key);
    const { value, expiresAt, agent } = update;
    if (operation === 'clear_namespace') space.entries.clear();
    else if (operation === 'set') {
      const createdAt = before?.createdAt ?? at;
      space.entries.set(key as string, { value, version, createdAt, updatedAt: at, expiresAt, agent });
    } else if (before === undefined) throw new Error(`there is no such key to ${operation}`);
    else if (operation === 'touch')
      space.entries.set(key as string, { ...before, version, updatedAt: at, expiresAt, agent });
    else {
      if (operation === 'expire' && !(before.expiresAt !== null && before.expiresAt <= at))
        throw new Error(`it expires at ${at} in place of ${before.expiresAt}`);
      space.entries.delete(key as string);
    }
    if (!update.drop) return;
    this.spaces.delete(namespace);
    this.#floor = Math.max(this.#floor, version);
  }

  /**
   * Returns the updates that a command makes now, in order. None if it changes nothing or its condition does not hold.
   */
  expected(command: ContextCommand): Expected[] {
    const { namespace = 'default', agent = null } = command as { namespace?: string; agent?: string };
    const space = this.spaces.get(namespace);
    const make = (operation: Update['operation'], rest: Partial<Expected>): Expected[] => [
      { operation, namespace, key: null, value: null, agent, drop: false, ttl: null, ...rest },
    ];
    switch (command.type) {
      case 'context.clear':
        return (space?.entries.size ?? 0) > 0 ? make('clear_namespace', {}) : [];
      case 'context.drop':
        return space === undefined ? [] : make('clear_namespace', { drop: true });
      case 'context.set':
      case 'context.delete':
      case 'context.touch':
        return steps(make, space, [{ ...command, operation: command.type.slice('context.'.length) }]);
      case 'context.batch':
        return steps(make, space, command.operations);
      default:
        return [];
    }
  }

  /** Describes the first difference to what is shown; `undefined` if there is none. */
  difference(shown: Shown): string | undefined {
    const names = shown.listNamespaces().filter((name) => name !== 'default' || this.spaces.has(name));
    const missing = [...this.spaces.keys()].find((name) => !names.includes(name));
    if (missing !== undefined) return `namespace ${missing} is missing`;
    for (const name of names) {
      const space = this.spaces.get(name);
      if (space === undefined) return `there is a namespace ${name}`;
      const entries = shown.entries(name);
      if (entries.length !== space.entries.size)
        return `${name} has ${entries.length} entries in place of ${space.entries.size}`;
      for (const { key, value, version, createdAt, updatedAt, expiresAt, agent } of entries) {
        const entry = { value, version, createdAt, updatedAt, expiresAt, agent };
        if (!isDeepStrictEqual(entry, space.entries.get(key)))
          return `${name} ${key} is ${brief(entry)} in place of ${brief(space.entries.get(key))}`;
      }
    }
    return undefined;
  }

  /** Returns the values alone, as a mirror holds them. */
  values(): Map<string, Map<string, JsonValue>> {
    return new Map(
      Array.from(this.spaces, ([name, { entries }]) => [
        name,
        new Map(Array.from(entries, ([key, { value }]) => [key, value])),
      ]),
    );
  }
}

/** The steps of one command. Later steps see the effects of earlier ones; if one condition fails, none is done. */
function steps(
  make: (operation: Update['operation'], rest: Partial<Expected>) => Expected[],
  space: Space | undefined,
  asked: readonly unknown[],
): Expected[] {
  const there = new Set(space?.entries.keys());
  const made: Expected[] = [];
  for (const step of asked) {
    const { operation, key, value, ttl, ifVersion } = step as {
      operation: 'set' | 'delete' | 'touch';
      key: string;
      value?: JsonValue;
      ttl?: number;
      ifVersion?: 0;
    };
    if (ifVersion === 0 && there.has(key)) return [];
    if (operation !== 'set' && !there.has(key)) continue;
    if (operation === 'set') there.add(key);
    if (operation === 'delete') there.delete(key);
    made.push(...make(operation, { key, value: operation === 'set' ? (value ?? null) : null, ttl: ttl ?? null }));
  }
  return made;
}

/** Describes how the update differs from the expected one; `undefined` if it does not. */
export function mismatch(update: Update, expected: Expected): string | undefined {
  const { ttl, ...wanted } = expected;
  const { operation, namespace, key, value, agent, drop } = update;
  if (!isDeepStrictEqual({ operation, namespace, key, value, agent, drop }, wanted))
    return `${brief({ operation, namespace, key, value, agent, drop })} in place of ${brief(wanted)}`;
  const expiresAt = ttl === null ? null : update.at + ttl;
  return update.expiresAt === expiresAt ? undefined : `expiresAt ${update.expiresAt} in place of ${expiresAt}`;
}

function brief(what: unknown): string {
  const text = JSON.stringify(what) ?? 'nothing';
  return text.length > 300 ? `${text.slice(0, 300)}… (${text.length})` : text;
}
