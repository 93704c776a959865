import { ContextCacheError } from '../../core/errors.ts';
import { copyOf, type EntryRecord, type NamespaceState } from '../../core/namespace-state.ts';
import type { Lineage } from '../lineage.ts';
import type { StateView } from '../past-source.ts';
import { StateCache } from '../state-cache.ts';
import type { NamespaceSummary, UnchangingSource } from '../state-source.ts';
import type { UpdateLog } from '../update-log.ts';

/**
 * The moment of its parent that a branch begins with, and reads whatever it has not touched from. Held until the branch
 * lets go of it; readable as long as the parent is not shut down.
 */
export class ForkPoint implements StateView, UnchangingSource {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #parent: UpdateLog;
  #view: StateView | undefined;
  #names: ReadonlySet<string> | undefined;
  /** Of namespaces that can only be read whole. */
  readonly #states = new StateCache();

  constructor(view: StateView, parent: UpdateLog) {
    this.position = view.position;
    this.lineage = view.lineage;
    this.#view = view;
    this.#parent = parent;
  }

  get isOpen(): boolean {
    return this.#view !== undefined && this.#parent.status !== 'closed';
  }

  get checkpoint(): number {
    return this.position;
  }

  names(): Iterable<string> {
    const view = this.#open();
    this.#names ??= new Set(view.names());
    return this.#names;
  }

  has(namespace: string): boolean {
    return this.#open().has(namespace);
  }

  state(namespace: string): NamespaceState | undefined {
    const view = this.#open();
    const known = this.#states.get(namespace);
    return known === undefined ? view.state(namespace) : copyOf(known);
  }

  hydrate(namespace: string): NamespaceState | undefined {
    return this.state(namespace);
  }

  get(namespace: string, key: string): EntryRecord | undefined {
    const view = this.#open();
    const known = this.#states.get(namespace);
    if (known !== undefined) return known.entries.get(key);
    const find = view.finder(namespace);
    if (find !== undefined) return find(key);
    const state = view.state(namespace);
    if (state !== undefined) this.#states.keep(state);
    return state?.entries.get(key);
  }

  finder(namespace: string): (key: string) => EntryRecord | undefined {
    return (key) => this.get(namespace, key);
  }

  summary(namespace: string): NamespaceSummary | undefined {
    const state = this.state(namespace);
    if (state === undefined) return undefined;
    const { version, position, bytes, entries } = state;
    const next = state.nextExpiryAt();
    return { version, position, bytes, count: entries.size, nextExpiryAt: Number.isFinite(next) ? next : null };
  }

  lastChange(namespace: string): number {
    return this.#open().lastChange(namespace);
  }

  /** The branch is shut down. */
  close(): void {
    this.#view?.release?.();
    this.#view = undefined;
    this.#names = undefined;
    this.#states.clear();
  }

  /** @throws {ContextCacheError} `CLOSED` where it cannot be read any more. */
  assertOpen(): void {
    this.#open();
  }

  #open(): StateView {
    if (this.#view === undefined) throw new ContextCacheError('CLOSED', 'The branch is shut down.');
    if (this.#parent.status !== 'closed') return this.#view;
    const message =
      'The cache that this branch was forked from is shut down, and with it what the branch has not touched. ' +
      'Shut the branch down first, or fork into a data directory of its own (dataDir).';
    throw new ContextCacheError('CLOSED', message);
  }
}
