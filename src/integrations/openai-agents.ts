import { randomUUID } from 'node:crypto';
import type { AgentInputItem, SessionHistoryRewriteArgs, SessionHistoryRewriteAwareSession } from '@openai/agents-core';
import { optionNames } from '../core/options.ts';
import {
  type BatchOperation,
  ContextCacheError,
  type ContextStore,
  fromJsonValue,
  joinNamespace,
  type RangeOptions,
  toJsonValue,
} from '../index.ts';

/** Options of {@link ContextCacheSession}. */
export interface ContextCacheSessionOptions {
  /** Name of the session. Every process that gives the same one has the same items. Default: a random one. */
  readonly sessionId?: string | undefined;
  /** The parts below which each session has its namespace. Default `['openai-agents', 'sessions']`. */
  readonly namespace?: readonly string[] | undefined;
}

/** Options of {@link ContextCacheSession.addItems}. */
export interface AddItemsOptions {
  /** Name of the write: repeated with the same one, it is done once. */
  readonly operationId?: string | undefined;
}

const OPTIONS = optionNames<ContextCacheSessionOptions>('ContextCacheSession', { sessionId: true, namespace: true });
const ADD_OPTIONS = optionNames<AddItemsOptions>('addItems', { operationId: true });

/** Items that were added together. */
interface Group {
  readonly key: string;
  readonly version: number;
  readonly items: AgentInputItem[];
}

/**
 * A session of the OpenAI Agents SDK on a cache, or on a client of one. What one call adds is one entry, so any number of
 * runs may add to a session at once: nothing is lost, and what was added together stays together.
 *
 * @example
 * ```ts
 * const session = new ContextCacheSession(cache, { sessionId: 'ann' });
 * await run(agent, 'Where is Oslo?', { session });
 * ```
 */
export class ContextCacheSession implements SessionHistoryRewriteAwareSession {
  readonly #cache: ContextStore;
  readonly #sessionId: string;
  readonly #namespace: string;

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheSessionOptions = {}) {
    const { sessionId = randomUUID(), namespace = ['openai-agents', 'sessions'] } = OPTIONS.checked(options);
    if (typeof cache?.append !== 'function')
      throw invalid('ContextCacheSession takes a cache, or a client of one, as its first argument.');
    if (typeof sessionId !== 'string' || sessionId === '')
      throw invalid('sessionId must be a string that is not empty.');
    this.#cache = cache;
    this.#sessionId = sessionId;
    this.#namespace = joinNamespace([...namespace, sessionId]);
  }

  async getSessionId(): Promise<string> {
    return this.#sessionId;
  }

  /** Resolves with all items in order, or with the last `limit` of them. The caller may change them. */
  async getItems(limit = Number.POSITIVE_INFINITY): Promise<AgentInputItem[]> {
    const groups: AgentInputItem[][] = [];
    let count = 0;
    if (limit > 0) {
      for await (const { items } of this.#groups({ reverse: true })) {
        groups.push(items);
        count += items.length;
        if (count >= limit) break;
      }
    }
    const items = groups.reverse().flat();
    return items.slice(Math.max(0, items.length - limit));
  }

  /** Adds items behind all others, all or none. */
  async addItems(items: AgentInputItem[], options: AddItemsOptions = {}): Promise<void> {
    ADD_OPTIONS.check(options);
    if (!Array.isArray(items)) throw invalid('addItems takes an array of items.');
    if (items.length === 0) return;
    const { operationId } = options;
    await this.#cache.append(toJsonValue(items), this.#namespace, operationId === undefined ? {} : { operationId });
  }

  /** Removes the last item and resolves with it; with `undefined` if there are no items. */
  async popItem(): Promise<AgentInputItem | undefined> {
    let popped: AgentInputItem | undefined;
    const pop = ([items]: readonly AgentInputItem[][]) => {
      popped = items?.at(-1);
      return items === undefined ? [] : [items.slice(0, -1)];
    };
    await this.#rewrite(pop, { reverse: true, limit: 1 });
    return popped;
  }

  /** Removes all items. The past of the session stays in the cache. */
  async clearSession(): Promise<void> {
    await this.#cache.clearNamespace(this.#namespace);
  }

  /** Replaces function calls: the first with the call's id gets the replacement, and others with that id are removed. */
  async applyHistoryMutations({ mutations }: SessionHistoryRewriteArgs): Promise<void> {
    if (mutations.length === 0) return;
    await this.#rewrite((groups) => {
      let changed = groups;
      for (const { callId, replacement } of mutations) {
        let isReplaced = false;
        const replaced = (item: AgentInputItem) => {
          if (item.type !== 'function_call' || item.callId !== callId) return [item];
          const result = isReplaced ? [] : [replacement];
          isReplaced = true;
          return result;
        };
        changed = changed.map((items) => items.flatMap(replaced));
      }
      return changed;
    });
  }

  /**
   * Removes the turns from `turn` on, counted from 0: a turn is a message of the user with everything that follows it, and what precedes
   * the first one stays. Resolves with the number of items removed.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if `turn` is not an integer from 0, or the session has no such turn.
   *
   * @example `await session.rewindToTurn(1); // only the first turn is left`
   */
  async rewindToTurn(turn: number): Promise<number> {
    if (!Number.isSafeInteger(turn) || turn < 0) throw invalid('turn must be an integer from 0 up.');
    let removed = 0;
    await this.#rewrite((groups) => {
      const items = groups.flat();
      const starts = items.flatMap((item, index) => ('role' in item && item.role === 'user' ? [index] : []));
      let left = starts[turn];
      if (left === undefined) throw invalid(`There is no turn ${turn}: the session has ${starts.length} turns.`);
      removed = items.length - left;
      return groups.map((group) => {
        const kept = group.slice(0, left);
        left = (left as number) - kept.length;
        return kept;
      });
    });
    return removed;
  }

  /** Yields the groups of items, oldest first or as `range` says. */
  async *#groups(range: RangeOptions): AsyncGenerator<Group> {
    for await (const { key, version, value } of this.#cache.entries(this.#namespace, range)) {
      yield { key, version, items: fromJsonValue(value) as AgentInputItem[] };
    }
  }

  /** Changes groups of items, all or none; again if another writer has changed one of them meanwhile. */
  async #rewrite(change: (groups: AgentInputItem[][]) => AgentInputItem[][], range: RangeOptions = {}): Promise<void> {
    for (;;) {
      const groups: Group[] = [];
      for await (const group of this.#groups(range)) groups.push(group);
      const changed = change(groups.map(({ items }) => items));
      const operations = groups.flatMap(({ key, version, items }, index): BatchOperation[] => {
        const [value, condition] = [changed[index] as AgentInputItem[], { key, ifVersion: version }];
        if (value.length === items.length && value.every((item, position) => item === items[position])) return [];
        if (value.length === 0) return [{ operation: 'delete', ...condition }];
        return [{ operation: 'set', value: toJsonValue(value), ...condition }];
      });
      if (operations.length === 0) return;
      try {
        await this.#cache.batch(operations, this.#namespace);
        return;
      } catch (error) {
        if (!(error instanceof ContextCacheError && error.code === 'VERSION_CONFLICT')) throw error;
      }
    }
  }
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
