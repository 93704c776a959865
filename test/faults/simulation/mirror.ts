import { BaseContextCache, type LogMark } from '../../../src/backends/base-context-cache.ts';
import { MirrorMismatchError, updatesToTake } from '../../../src/backends/mirror-position.ts';
import type { Update } from '../../../src/core/update.ts';
import type { JsonValue } from '../../../src/core/value.ts';
import type { Random } from '../support.ts';
import { Server, type SimConnection } from './network.ts';

type Spaces = Map<string, Map<string, JsonValue>>;

interface Kept {
  readonly spaces: Spaces;
  readonly positions: Map<string, number>;
}

/** The part of Redis that the mirror uses: keeps values and positions, and may lose the latest of both. */
export class MirrorServer extends Server {
  spaces: Spaces = new Map();
  positions = new Map<string, number>();
  /** Chooses updates that it loses, for controls. */
  loses: (update: Update) => boolean = () => false;
  #kept: Kept = { spaces: new Map(), positions: new Map() };

  constructor() {
    super('mirror');
  }

  /** The content that a crash leaves. */
  persist(): void {
    this.#kept = copyOf(this);
  }

  protected override lose(random: Random): void {
    const emptied = random.below(2) === 0;
    const { spaces, positions } = emptied ? { spaces: new Map(), positions: new Map() } : copyOf(this.#kept);
    this.spaces = spaces;
    this.positions = positions;
    this.persist();
  }

  /** Returns its position and takes nothing if that is not `mark.after`. */
  apply(updates: readonly Update[], mark: LogMark): number | undefined | 'done' | 'gone' {
    const at = this.positions.get(mark.log);
    if ((at ?? 0) !== mark.after) return at;
    if (updates.some((update) => this.#misses(update, updates))) {
      this.positions.delete(mark.log);
      return 'gone';
    }
    for (const update of updates) if (!this.loses(update)) this.#take(update);
    this.positions.set(mark.log, mark.through);
    return 'done';
  }

  #misses({ operation, namespace, key, position }: Update, updates: readonly Update[]): boolean {
    if (operation !== 'touch' || this.spaces.get(namespace)?.has(key ?? '')) return false;
    return !updates.some((other) => other.namespace === namespace && other.position < position);
  }

  #take({ operation, namespace, key, value, drop }: Update): void {
    const space = this.spaces.get(namespace) ?? new Map<string, JsonValue>();
    this.spaces.set(namespace, space);
    if (operation === 'set') space.set(key as string, value);
    else if (operation === 'clear_namespace') space.clear();
    else if (operation !== 'touch') space.delete(key as string);
    if (drop) this.spaces.delete(namespace);
  }
}

/** The secondary of one process: calls the server over the network. */
export class SimMirror extends BaseContextCache {
  readonly #open: () => SimConnection;
  readonly #server: MirrorServer;
  #connection: SimConnection | undefined;
  #lost: (cause: Error) => void = () => {};

  constructor(server: MirrorServer, open: () => SimConnection) {
    super();
    this.#server = server;
    this.#open = open;
  }

  override async connect(): Promise<void> {
    if (this.#connection?.broken !== undefined) this.#connection = undefined;
    await this.#call('connect', () => undefined);
  }

  override close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  override onLost(lost: (cause: Error) => void): void {
    this.#lost = lost;
  }

  override async applyUpdates(updates: readonly Update[], mark: LogMark): Promise<void> {
    let rest = updates;
    let { after } = mark;
    for (;;) {
      const given = { ...mark, after };
      const found = await this.#call(`apply ${after} ${mark.through} ${rest.length}`, () =>
        this.#server.apply(rest, given),
      );
      if (found === 'done') return;
      if (found === 'gone') throw new MirrorMismatchError('An entry has expired.', after);
      rest = updatesToTake(rest, given, found);
      after = found ?? after;
      if (after >= mark.through) return;
    }
  }

  override appliedPosition(log: string): Promise<number | undefined> {
    return this.#call('position', () => this.#server.positions.get(log));
  }

  override otherLogs(log: string): Promise<boolean> {
    return this.#call('other logs', () => [...this.#server.positions.keys()].some((name) => name !== log));
  }

  override async resetPosition(log: string, position: number): Promise<void> {
    await this.#call(`reset ${position}`, () => this.#server.positions.set(log, position));
  }

  get(key: string, namespace: string): Promise<JsonValue | undefined> {
    return this.#call('get', () => this.#server.spaces.get(namespace)?.get(key));
  }

  async set(): Promise<void> {
    throw new Error('A mirror that takes batches is given nothing else.');
  }

  delete(): Promise<boolean> {
    throw new Error('A mirror that takes batches is given nothing else.');
  }

  listKeys(namespace: string): Promise<string[]> {
    return this.#call('keys', () => [...(this.#server.spaces.get(namespace)?.keys() ?? [])]);
  }

  async clearNamespace(): Promise<void> {
    throw new Error('A mirror that takes batches is given nothing else.');
  }

  listNamespaces(): Promise<string[]> {
    return this.#call('namespaces', () => [...this.#server.spaces.keys()]);
  }

  override async dropNamespace(namespace: string): Promise<void> {
    await this.#call(`drop ${namespace}`, () => this.#server.spaces.delete(namespace));
  }

  #call<T>(what: string, run: () => T): Promise<T> {
    if (this.#connection === undefined) {
      this.#connection = this.#open();
      this.#connection.onLost = (cause) => this.#lost(cause);
    }
    return this.#connection.call(what, run);
  }
}

function copyOf({ spaces, positions }: Kept): Kept {
  return {
    spaces: new Map(Array.from(spaces, ([name, space]) => [name, new Map(space)])),
    positions: new Map(positions),
  };
}
