import fc from 'fast-check';
import { type EntryRecord, NamespaceState } from '../../src/core/namespace-state.ts';
import { admit, type JsonValue } from '../../src/core/value.ts';
import { BackupLoader, type LoadedSnapshot } from '../../src/followers/backup/backup-loader.ts';
import { BackupManager, type BackupManagerOptions } from '../../src/followers/backup/backup-manager.ts';
import { MemorySnapshotStore } from '../../src/followers/backup/memory-snapshot-store.ts';
import type { SnapshotStore } from '../../src/followers/backup/snapshot-store.ts';
import type { SnapshotTransform } from '../../src/followers/backup/snapshot-transform.ts';
import type { StateCapture } from '../../src/storage/follower-sink.ts';

/** A few namespaces and their position in a log. */
export class World {
  readonly states = new Map<string, NamespaceState>();
  log = 'log-1';
  position = 0;
  at = 1_000;

  state(name: string): NamespaceState {
    let state = this.states.get(name);
    if (state === undefined) {
      state = new NamespaceState(name);
      this.states.set(name, state);
    }
    return state;
  }

  set(namespace: string, key: string, input: unknown, more: Partial<EntryRecord> = {}): void {
    const { value, bytes } = admit(input);
    const state = this.#advance(namespace);
    const times = { createdAt: this.at, updatedAt: this.at, expiresAt: null, agent: null, meta: undefined };
    state.put(key, { value, bytes, version: state.version, ...times, ...more });
  }

  remove(namespace: string, key: string): void {
    this.#advance(namespace).remove(key);
  }

  clear(namespace: string): void {
    this.#advance(namespace).clear();
  }

  /** Captures the present state. `open` counts the captures that are not closed. */
  open = 0;
  capture(): StateCapture {
    const captures = [...this.states.values()].map((state) => state.capture());
    const { position, at, log } = this;
    this.open += 1;
    let closed = false;
    return {
      ...{ position, at, log },
      async *namespaces() {
        yield* captures;
      },
      close: () => {
        if (!closed) this.open -= 1;
        closed = true;
        for (const capture of captures) capture.close();
      },
    };
  }

  /** Returns the whole state as plain data, for comparisons. */
  contents(): Contents {
    return new Map(
      [...this.states].map(([name, { version, position, entries }]) => [
        name,
        { version, position, entries: new Map(entries) },
      ]),
    );
  }

  #advance(namespace: string): NamespaceState {
    const state = this.state(namespace);
    this.position += 1;
    state.version += 1;
    state.position = this.position;
    return state;
  }
}

export type Contents = Map<
  string,
  { readonly version: number; readonly position: number; readonly entries: Map<string, EntryRecord> }
>;

/** Returns the content of a stored snapshot. */
export async function contentsOf(snapshot: LoadedSnapshot | undefined): Promise<Contents> {
  const contents: Contents = new Map();
  for await (const { name, ...rest } of snapshot?.namespaces() ?? []) {
    if (contents.has(name)) throw new Error(`The namespace ${name} came twice.`);
    contents.set(name, rest);
  }
  return contents;
}

/** A store that counts the puts into another one, and can be made to fail or to wait. */
export class CountingStore implements SnapshotStore {
  readonly description = 'a counting store';
  readonly puts: string[] = [];
  /** Called before each put; may throw or delay it. */
  beforePut: (name: string) => void | Promise<void> = () => {};
  readonly #store: SnapshotStore;

  constructor(store: SnapshotStore) {
    this.#store = store;
  }

  /** Returns the names put since the last call. */
  takePuts(): string[] {
    return this.puts.splice(0);
  }

  async put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.beforePut(name);
    await this.#store.put(name, bytes, signal);
    this.puts.push(name);
  }
  get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#store.get(name, signal);
  }
  has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]> {
    return this.#store.has(names, signal);
  }
  list(prefix: string, signal?: AbortSignal): Promise<string[]> {
    return this.#store.list(prefix, signal);
  }
  remove(names: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.#store.remove(names, signal);
  }
  close(): Promise<void> {
    return this.#store.close();
  }
}

const AWKWARD = ['__proto__', 'constructor', 'a:b', 'a', '*', '>', 'a..b', ' ', '%', '😀', 'part-1', 'ünï', '0', '\0'];

/** Any name that a namespace or key may have, awkward ones often. */
export const anyName = fc.oneof(
  fc.constantFrom(...AWKWARD),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }).filter((name) => name.isWellFormed()),
);

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
  fc.constantFrom(...AWKWARD),
);

/** Any JSON value, awkward ones often. */
export const anyValue: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(
      fc.constantFrom<JsonValue>(null, true, false, 0, -1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 40), 1e300, 0.1, ''),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
      anyText,
      fc.string({ minLength: 250, maxLength: 600 }),
    ),
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .array(fc.tuple(anyText, tie('value')), { maxLength: 5 })
      // Parsed from JSON text, so that `__proto__` is an ordinary property.
      .map((pairs) => JSON.parse(`{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join()}}`)),
  ),
})).value;

/** A stand-in for encryption: flips bits by `mask`, and refuses bytes written with another mask. */
export function flip(name: string, mask: number): SnapshotTransform {
  return {
    name,
    encode: (bytes) => Uint8Array.from([mask, ...bytes.map((byte) => byte ^ mask)]),
    decode: async (bytes) => {
      if (bytes[0] !== mask) throw new Error('wrong key');
      return bytes.subarray(1).map((byte) => byte ^ mask);
    },
  };
}

/** Creates a world with a manager and a loader on one store in memory. */
export function setUp(options: Partial<BackupManagerOptions> = {}) {
  const world = new World();
  const store = new CountingStore(new MemorySnapshotStore());
  const damaged: string[] = [];
  const loader = new BackupLoader({ store, onDamaged: (id) => damaged.push(id) });
  return { world, store, damaged, loader, manager: new BackupManager({ store, ...options }) };
}

/** Edits a stored blob. */
export async function change(
  store: SnapshotStore,
  name: string,
  edit: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  await store.put(name, edit((await store.get(name)) ?? new Uint8Array()));
}

/** Returns a copy of the bytes with one bit flipped. */
export function flipByte(bytes: Uint8Array, at = bytes.length >> 1): Uint8Array {
  return bytes.with(at, (bytes[at] ?? 0) ^ 1);
}
