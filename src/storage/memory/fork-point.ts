import { ContextCacheError } from '../../core/errors.ts';
import { copyOf, type EntryRecord, type NamespaceState } from '../../core/namespace-state.ts';
import type { Lineage } from '../lineage.ts';
import type { StateView } from '../past-source.ts';
import { StateCache } from '../state-cache.ts';
import type { NamespaceSummary, UnchangingSource } from '../state-source.ts';
import type { UpdateLog } from '../update-log.ts';

/**
 * The view of the parent that a branch starts from. The branch reads what it has not touched from here. Held until the
 * branch is shut down; readable until the parent is shut down.
 */
export class ForkPoint implements StateView, UnchangingSource {
  readonly position: number;
  readonly lineage: Lineage;
  readonly #parent: UpdateLog;
  #view: StateView | undefined;
  #names: ReadonlySet<string> | undefined;
  /** States of namespaces that can only be read as a whole. */
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

  /**
   * Releases the view when the branch is shut down. Not named `release`, because readers of the branch's past get this
   * object as a view.
   */
  close(): void {
    this.#view?.release?.();
    this.#view = undefined;
    this.#names = undefined;
    this.#states.clear();
  }

  /** Resolves once the parent has committed everything that the branch starts with. */
  async whenCommitted(): Promise<void> {
    this.#open();
    await this.#parent.whenCommitted(this.position);
  }

  /**
   * Checks that the view can be read.
   *
   * @throws {ContextCacheError} `CLOSED` if the branch or its parent is shut down.
   */
  assertOpen(): void {
    this.#open();
  }

  #open(): StateView {
    if (this.#view === undefined) throw new ContextCacheError('CLOSED', 'The branch is shut down.');
    if (this.#parent.status !== 'closed') return this.#view;
    const message =
      'The cache that this branch was forked from is shut down, so what the branch has not touched cannot be read. ' +
      'Shut the branch down first, or fork into its own data directory (dataDir).';
    throw new ContextCacheError('CLOSED', message);
  }
}
