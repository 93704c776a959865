import { randomUUID } from 'node:crypto';
import { untilAborted } from '../../core/deadline.ts';
import { ContextCacheError, type ErrorCode, toError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/value.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ClusterNode } from '../node.ts';

/** Start of the name of a setting that asks for a snapshot; the id of the request follows. */
const ASKED = 'snapshot/asked/';
/** Start of the name of a setting that holds the outcome of a request, until the node that has asked removes it. */
const TAKEN = 'snapshot/taken/';
/** Milliseconds of the stream's time after which an outcome is removed whose node has not done so. */
const KEPT_MS = 600_000;

type Snapshot = Awaited<ReturnType<NonNullable<Engine['backup']>['backupNow']>>;

/** Outcome of a request, as the cluster keeps it. `at`: the stream's time. */
type Taken =
  | { readonly at: number; readonly snapshot: Snapshot }
  | { readonly at: number; readonly code: ErrorCode; readonly message: string };

/** Changes a setting on all nodes; `null` removes it. */
type Configure = (name: string, value: JsonValue) => Promise<void>;

/**
 * Snapshots that nodes ask for, and the node that holds the lease takes. Each request is a setting of its own, and so is its
 * outcome. The snapshot is taken after the request was ordered, so it has everything that its node had applied before.
 */
export class SnapshotRequests {
  readonly #node: ClusterNode;
  readonly #configure: Configure;
  #isTaking = false;

  constructor(node: ClusterNode, configure: Configure) {
    this.#node = node;
    this.#configure = configure;
  }

  /** Ids of the requests without an outcome. */
  get open(): string[] {
    return this.#ids(ASKED);
  }

  /**
   * Asks the node that holds the lease for a snapshot.
   *
   * @throws {ContextCacheError} the error of the snapshot; `CLOSED` if this node is shut down; why it has left service.
   */
  async ask(signal: AbortSignal | undefined): Promise<Snapshot> {
    signal?.throwIfAborted();
    const id = randomUUID();
    let stop = () => {};
    const taken = new Promise<Snapshot>((resolve, reject) => {
      const look = () => {
        const { failure, machine, status } = this.#node;
        const outcome = machine.config.get(TAKEN + id) as unknown as Taken | undefined;
        if (failure !== undefined) reject(failure);
        else if (status === 'closed') reject(new ContextCacheError('CLOSED', 'The cache is shut down.'));
        else if (outcome === undefined) return;
        else if ('snapshot' in outcome) resolve(outcome.snapshot);
        else reject(new ContextCacheError(outcome.code, outcome.message));
      };
      stop = this.#node.onApplied(look);
    });
    // It has no handler yet if the node leaves service while the request is on its way.
    taken.catch(() => undefined);
    const asked = this.#configure(ASKED + id, this.#node.machine.time).then(() => taken);
    try {
      return await untilAborted(asked, signal);
    } finally {
      stop();
      this.#remove(id);
    }
  }

  /** Takes one snapshot for all open requests, and stores its outcome for each of them. Not twice at a time. */
  take(backup: () => Promise<Snapshot>): void {
    const ids = this.open;
    if (this.#isTaking || ids.length === 0) return;
    this.#isTaking = true;
    const taken = async () => {
      const outcome = await backup().then(
        (snapshot) => ({ at: this.#node.machine.time, snapshot }),
        (thrown) => refusedOf(this.#node.machine.time, toError(thrown)),
      );
      const { config } = this.#node.machine;
      // One that its node has given up meanwhile needs no outcome.
      const wanted = ids.filter((id) => config.has(ASKED + id));
      await Promise.all(
        wanted.flatMap((id) => [
          this.#configure(TAKEN + id, outcome as unknown as JsonValue),
          this.#configure(ASKED + id, null),
        ]),
      );
    };
    taken()
      // Another look takes it again.
      .catch(() => undefined)
      .finally(() => {
        this.#isTaking = false;
      });
  }

  /** Removes outcomes that are old, because the nodes that have asked are gone. */
  clean(): void {
    const { config, time } = this.#node.machine;
    for (const id of this.#ids(TAKEN)) {
      const { at } = config.get(TAKEN + id) as unknown as Taken;
      if (time - at > KEPT_MS) this.#remove(id);
    }
  }

  #ids(prefix: string): string[] {
    const names = [...this.#node.machine.config.keys()].filter((name) => name.startsWith(prefix));
    return names.map((name) => name.slice(prefix.length));
  }

  /** Removes a request and its outcome, if the node can. */
  #remove(id: string): void {
    const { config } = this.#node.machine;
    for (const name of [ASKED + id, TAKEN + id]) {
      if (config.has(name)) this.#configure(name, null).catch(() => undefined);
    }
  }
}

function refusedOf(at: number, error: Error): Taken {
  const code = error instanceof ContextCacheError ? error.code : 'BACKEND_FAILED';
  return { at, code, message: error.message };
}
