import type { Replica } from '../../src/cluster/machine/replica.ts';
import { apply } from '../../src/core/apply.ts';
import type { TransactionResult } from '../../src/core/command.ts';
import { decide, expired } from '../../src/core/decide.ts';
import { toError } from '../../src/core/errors.ts';
import { compareNames } from '../../src/core/names.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { OperationWindow, repeatedTransaction, settledAsRepeated } from '../../src/core/operations.ts';
import { floorAfter } from '../../src/core/remembered.ts';
import type { Request } from '../../src/core/request.ts';
import type { PendingUpdate, Update } from '../../src/core/update.ts';

/** The data of a node as plainly as the rules say it: decide and apply, with no actors, log or schedule. */
export class ModelReplica implements Replica {
  position = 0;
  readonly namespaces = new Map<string, NamespaceState>();
  readonly updates: Update[] = [];
  readonly #operations = new OperationWindow();
  #floor = 0;

  get nextExpiryAt(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...Array.from(this.namespaces.values(), (each) => each.nextExpiryAt()));
  }

  together(run: () => void): void {
    run();
  }

  expire(now: number): void {
    for (;;) {
      const due = [...this.namespaces.values()].filter((state) => state.nextExpiryAt() <= now);
      due.sort((a, b) => a.nextExpiryAt() - b.nextExpiryAt() || compareNames(a.name, b.name));
      const [first] = due;
      if (first === undefined) return;
      this.#expire(first, now);
    }
  }

  execute(request: Request): void {
    const state = this.namespaces.get(request.namespace) ?? new NamespaceState(request.namespace);
    this.#expire(state, request.at);
    if (settledAsRepeated(this.#operations, request)) return;
    try {
      const updates = decide(state, request, this.#floor);
      this.#take(state, updates);
      const last = updates.at(-1);
      const { version, position } = last ?? state;
      const value = request.type === 'context.increment' ? { value: last?.value } : {};
      const key = request.type === 'context.append' ? { key: last?.key } : {};
      request.succeed({ version, position, changed: last !== undefined, ...value, ...key });
    } catch (error) {
      request.fail(toError(error));
    }
  }

  transact(parts: readonly Request[]): TransactionResult | Error {
    try {
      const known = repeatedTransaction(this.#operations, parts);
      if (known !== undefined) return known;
      const states = parts.map(({ namespace }) => this.namespaces.get(namespace) ?? new NamespaceState(namespace));
      for (const [index, part] of parts.entries()) this.#expire(states[index] as NamespaceState, part.at);
      const updates = parts.map((part, index) => decide(states[index] as NamespaceState, part, this.#floor));
      for (const [index, each] of updates.entries()) this.#take(states[index] as NamespaceState, each);
      const changed = parts.flatMap(({ namespace }, index) => {
        const last = updates[index]?.at(-1);
        return last === undefined ? [] : [{ namespace, version: last.version }];
      });
      return { position: this.position, changed: changed.length > 0, namespaces: changed };
    } catch (error) {
      return toError(error);
    }
  }

  /** Everything that must be the same on all nodes. */
  content(): unknown {
    return [...this.namespaces]
      .sort(([a], [b]) => compareNames(a, b))
      .map(([name, { version, position, entries }]) => [name, version, position, [...entries]]);
  }

  #expire(state: NamespaceState, now: number): void {
    for (let update = expired(state, now); update !== undefined; update = expired(state, now))
      this.#take(state, [update]);
  }

  #take(state: NamespaceState, updates: readonly PendingUpdate[]): void {
    for (const update of updates) {
      this.position += 1;
      update.position = this.position;
      apply(state, update);
      this.updates.push(update);
      this.#operations.add(update);
      this.#floor = floorAfter(this.#floor, update);
    }
    if (state.version === 0) this.namespaces.delete(state.name);
    else if (updates.length > 0) this.namespaces.set(state.name, state);
  }
}
