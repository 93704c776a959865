import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentContextCache } from '../../../src/index.ts';
import { differencesOf } from './compare.ts';

/** The compared fields of a public message. */
export interface TopicMessage {
  readonly position: number;
  readonly event_data: {
    readonly operation: 'set' | 'delete' | 'clear_namespace';
    readonly namespace: string;
    readonly key: string | null;
    readonly value: unknown;
  };
}

/**
 * A subscriber that drops messages older than the last one: the state its messages lead to, and whether they came in
 * order.
 */
export class TopicReader {
  readonly #values = new Map<string, Map<string, unknown>>();
  readonly #seen = new Map<number, TopicMessage>();
  readonly #late: TopicMessage[] = [];
  #last = 0;
  /** Number of repeated messages. */
  repeated = 0;

  /**
   * Positions that arrived for the first time after later ones. `coalesced`: only those that no update has replaced. A
   * ring that has discarded what was under way on an abandoned connection does not send it again before its
   * replacement, so it may arrive late over the old connection.
   */
  outOfOrder(coalesced: boolean): number[] {
    return this.#late.filter((message) => !(coalesced && this.#isReplaced(message))).map(({ position }) => position);
  }

  take(payload: string): void {
    const message = JSON.parse(payload) as TopicMessage;
    const { position } = message;
    if (this.#seen.has(position)) {
      this.repeated += 1;
      return;
    }
    this.#seen.set(position, message);
    if (position < this.#last) {
      this.#late.push(message);
      return;
    }
    this.#last = position;
    this.#fold(message);
  }

  /** Describes how the state of the messages differs from the cache, and which messages came out of order. */
  differences(cache: AgentContextCache, coalesced: boolean): string[] {
    const wanted = new Map<string, unknown>();
    for (const namespace of cache.listNamespaces()) {
      for (const { key, value } of cache.entries(namespace)) wanted.set(`${namespace} ${key}`, value);
    }
    const held = new Map<string, unknown>();
    for (const [namespace, values] of this.#values) {
      for (const [key, value] of values) held.set(`${namespace} ${key}`, value);
    }
    const late = this.outOfOrder(coalesced).map((position) => `position ${position} came after later ones`);
    return [...late, ...differencesOf(held, wanted, 'the subscriber', 'the cache')];
  }

  /** Returns the updates of the log that no message announced. Only touches may be among them. */
  async missing(cache: AgentContextCache): Promise<number[]> {
    const missing: number[] = [];
    for await (const { position, operation, value } of cache.readLog({ from: 1 })) {
      const message = this.#seen.get(position);
      if (operation === 'touch') continue;
      const same = operation !== 'set' || JSON.stringify(message?.event_data.value) === JSON.stringify(value);
      if (message === undefined || !same) missing.push(position);
      if (position % 5_000 === 0) await nextTurn();
    }
    return missing;
  }

  #isReplaced({ position, event_data: { namespace, key } }: TopicMessage): boolean {
    for (const { position: other, event_data: later } of this.#seen.values()) {
      if (other > position && later.namespace === namespace && (later.key === key || later.key === null)) return true;
    }
    return false;
  }

  #fold({ event_data: { operation, namespace, key, value } }: TopicMessage): void {
    const values = this.#values.get(namespace) ?? new Map<string, unknown>();
    this.#values.set(namespace, values);
    if (key === null) values.clear();
    else if (operation === 'set') values.set(key, value);
    else values.delete(key);
  }
}
