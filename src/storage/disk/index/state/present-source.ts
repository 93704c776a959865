import type { EntryRecord, NamespaceState } from '../../../../core/namespace-state.ts';
import type { NameTable } from '../../../../core/tables/name-table.ts';
import type { NamespaceSummary, StateSource } from '../../../state-source.ts';
import type { StateTable } from './state-table.ts';

/**
 * The state on disk of the namespaces that are not in memory. They may have left memory when the index was further than it
 * is while it is rebuilt; base and log answer until it is as far again.
 */
export class PresentSource implements StateSource {
  readonly #table: StateTable;

  constructor(table: StateTable) {
    this.#table = table;
  }

  get checkpoint(): number {
    return this.#table.checkpoint;
  }

  get nameTable(): NameTable {
    return this.#table.nameTable;
  }

  names(): Iterable<string> {
    return this.#isBehind ? this.#table.truth.names(this.#table.reached) : this.#table.names();
  }

  summary(namespace: string): NamespaceSummary | undefined {
    const { truth, reached } = this.#table;
    return this.#isBehind ? truth.summaryAt(namespace, reached) : this.#table.summary(namespace);
  }

  get(namespace: string, key: string): EntryRecord | undefined {
    const { truth, reached } = this.#table;
    return this.#isBehind ? truth.sharedAt(namespace, reached)?.entries.get(key) : this.#table.get(namespace, key);
  }

  hydrate(namespace: string): NamespaceState | undefined {
    const { truth, reached } = this.#table;
    return this.#isBehind ? truth.stateAt(namespace, reached) : this.#table.hydrate(namespace);
  }

  get #isBehind(): boolean {
    return this.#table.checkpoint < this.#table.reached;
  }
}
