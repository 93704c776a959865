import { type Capture, type NamespaceState, stateOfCapture } from '../core/namespace-state.ts';
import type { StoredOperations } from '../core/operations.ts';
import type { StateCapture } from './follower-sink.ts';
import type { NamespaceRecord } from './namespace-record.ts';
import type { NamespaceRegistry } from './namespace-registry.ts';
import type { UpdateLog } from './update-log.ts';

/** Reads the values of a namespace that an external primary stores; see {@link captureState}. */
export type ReadValues = (state: NamespaceState) => Promise<NamespaceState>;

/**
 * Captures all namespaces at the log's head. Copies nothing now: a namespace is captured when its turn comes, or just
 * before it first changes. Yields nothing before the capture's position is committed, so that a copy never contains
 * what a crash could revoke.
 *
 * With `readValues` (a primary of the user's own stores the values) the values of a namespace are those at the time its
 * turn comes: consistent within a namespace, not across namespaces.
 */
export function captureState(
  registry: NamespaceRegistry,
  log: UpdateLog,
  at: number,
  readValues?: ReadValues,
  cluster?: StateCapture['cluster'],
): StateCapture {
  return new LiveCapture(registry, log, at, readValues, cluster);
}

class LiveCapture implements StateCapture {
  readonly position: number;
  readonly at: number;
  readonly log: string;
  readonly operations: StoredOperations | undefined;
  readonly floor: number | undefined;
  readonly cluster: StateCapture['cluster'];
  readonly #registry: NamespaceRegistry;
  readonly #updateLog: UpdateLog;
  readonly #readValues: ReadValues | undefined;
  /** Captures by namespace; `undefined` for one that was already yielded or is not part of this capture. */
  readonly #captures = new Map<string, Capture | undefined>();
  readonly #stopWatching: () => void;

  constructor(
    registry: NamespaceRegistry,
    log: UpdateLog,
    at: number,
    readValues: ReadValues | undefined,
    cluster: StateCapture['cluster'],
  ) {
    this.cluster = cluster;
    this.position = log.head;
    this.at = at;
    this.log = log.id;
    const { operations, floor } = log.remembered(this.position);
    this.operations = operations;
    this.floor = floor;
    this.#registry = registry;
    this.#updateLog = log;
    this.#readValues = readValues;
    this.#stopWatching = registry.beforeChange((record) => this.#keep(record));
  }

  async *namespaces(): AsyncGenerator<Capture> {
    await this.#updateLog.whenCommitted(this.position);
    for (const [name, record] of this.#registry.entries()) {
      if (this.#captures.has(name)) continue;
      if (record === null) yield* this.#giveCold(name);
      else this.#keep(record);
      yield* this.#give(name);
    }
    // Namespaces that were captured before a change and then dropped.
    for (const name of this.#captures.keys()) yield* this.#give(name);
  }

  close(): void {
    this.#stopWatching();
    for (const capture of this.#captures.values()) capture?.close();
    this.#captures.clear();
  }

  #keep(record: NamespaceRecord): void {
    if (this.#captures.has(record.name)) return;
    // The state of a crashed namespace lacks updates that the log has at this position.
    const state = this.#registry.caughtUp(record);
    const wasThere = state.version > 0 && state.position <= this.position;
    this.#captures.set(record.name, wasThere ? state.capture() : undefined);
  }

  /** A namespace that is not in memory is read without being brought into memory. */
  *#giveCold(name: string): Generator<Capture> {
    const state = this.#registry.stateOnDisk(name);
    this.#captures.set(name, undefined);
    if (state === undefined || state.version === 0) return;
    const capture = state.capture();
    yield capture;
    capture.close();
  }

  async *#give(name: string): AsyncGenerator<Capture> {
    const capture = this.#captures.get(name);
    if (capture === undefined) return;
    this.#captures.set(name, undefined);
    try {
      if (this.#readValues === undefined) yield capture;
      else yield (await this.#readValues(stateOfCapture(capture))).capture();
    } finally {
      capture.close();
    }
  }
}
