import { BaseCache, deserializeStoredGeneration, serializeGeneration } from '@langchain/core/caches';
import { BaseListChatMessageHistory } from '@langchain/core/chat_history';
import {
  type BaseMessage,
  mapChatMessagesToStoredMessages,
  mapStoredMessagesToChatMessages,
  type StoredGeneration,
  type StoredMessage,
} from '@langchain/core/messages';
import type { Generation } from '@langchain/core/outputs';
import { BaseStore } from '@langchain/core/stores';
import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  type Duration,
  fromJsonValue,
  type JsonValue,
  joinNamespace,
  toJsonValue,
} from '../index.ts';

/** Options of {@link ContextCacheLLMCache}. */
export interface ContextCacheLLMCacheOptions {
  /** The parts of its namespace. Default `['langchain', 'llm-cache']`. */
  readonly namespace?: readonly string[] | undefined;
  /** Time after which an answer is forgotten: milliseconds, or a text such as `'1d'`. Default: never. */
  readonly ttl?: Duration | undefined;
}

/** Options of {@link ContextCacheByteStore}. */
export interface ContextCacheByteStoreOptions {
  /** The parts of its namespace. Default `['langchain', 'bytes']`. */
  readonly namespace?: readonly string[] | undefined;
}

/** Options of {@link ContextCacheChatHistory}. */
export interface ContextCacheChatHistoryOptions {
  /** Name of the conversation. */
  readonly sessionId: string;
  /** The parts below which each conversation has its namespace. Default `['langchain', 'chats']`. */
  readonly namespace?: readonly string[] | undefined;
}

const LLM_CACHE = optionNames<ContextCacheLLMCacheOptions>('ContextCacheLLMCache', { namespace: true, ttl: true });
const BYTE_STORE = optionNames<ContextCacheByteStoreOptions>('ContextCacheByteStore', { namespace: true });
const CHAT_HISTORY = optionNames<ContextCacheChatHistoryOptions>('ContextCacheChatHistory', {
  sessionId: true,
  namespace: true,
});

/** An answer as it is stored. */
type StoredAnswer = StoredGeneration & { readonly generationInfo?: Generation['generationInfo'] };

/**
 * A cache of the answers of language models. Every process with the same cache shares them.
 *
 * @example `const model = new ChatOpenAI({ cache: new ContextCacheLLMCache(cache, { ttl: '1d' }) });`
 */
export class ContextCacheLLMCache extends BaseCache {
  readonly #cache: ContextStore;
  readonly #namespace: string;
  readonly #options: { readonly ttl?: Duration };

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheLLMCacheOptions = {}) {
    super();
    const { namespace = ['langchain', 'llm-cache'], ttl } = LLM_CACHE.checked(options);
    this.#cache = checkedCache('ContextCacheLLMCache', cache);
    this.#namespace = joinNamespace(namespace);
    this.#options = ttl === undefined ? {} : { ttl };
  }

  /** Resolves with the answer to a prompt; with `null` if it is not known. */
  async lookup(prompt: string, llmKey: string): Promise<Generation[] | null> {
    const stored = await this.#cache.get(this.keyEncoder(prompt, llmKey), this.#namespace);
    if (stored === undefined) return null;
    return (fromJsonValue(stored) as StoredAnswer[]).map(({ generationInfo, ...generation }) => ({
      ...deserializeStoredGeneration(generation),
      ...(generationInfo !== undefined && { generationInfo }),
    }));
  }

  /** Stores the answer to a prompt. */
  async update(prompt: string, llmKey: string, answer: Generation[]): Promise<void> {
    const stored = answer.map((each) => ({ ...serializeGeneration(each), generationInfo: each.generationInfo }));
    await this.#cache.set(this.keyEncoder(prompt, llmKey), plain(stored), this.#namespace, this.#options);
  }
}

/**
 * A store of bytes, such as embeddings and documents.
 *
 * @example `const embeddings = CacheBackedEmbeddings.fromBytesStore(model, new ContextCacheByteStore(cache));`
 */
export class ContextCacheByteStore extends BaseStore<string, Uint8Array> {
  override lc_namespace = ['agent_context_cache', 'langchain'];
  readonly #cache: ContextStore;
  readonly #namespace: string;

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheByteStoreOptions = {}) {
    super({});
    const { namespace = ['langchain', 'bytes'] } = BYTE_STORE.checked(options);
    this.#cache = checkedCache('ContextCacheByteStore', cache);
    this.#namespace = joinNamespace(namespace);
  }

  async mget(keys: string[]): Promise<(Uint8Array | undefined)[]> {
    const values = await this.#cache.getMany(keys, this.#namespace);
    return values.map((value) => (value === undefined ? undefined : (fromJsonValue(value) as Uint8Array)));
  }

  /** Stores all or none. */
  async mset(keyValuePairs: [string, Uint8Array][]): Promise<void> {
    const pairs = keyValuePairs.map(([key, bytes]) => {
      if (!(bytes instanceof Uint8Array)) throw invalid('ContextCacheByteStore stores values of type Uint8Array.');
      return [key, toJsonValue(bytes)] as const;
    });
    if (pairs.length > 0) await this.#cache.setMany(pairs, this.#namespace);
  }

  /** Removes all or none. */
  async mdelete(keys: string[]): Promise<void> {
    const operations = keys.map((key) => ({ operation: 'delete' as const, key }));
    if (operations.length > 0) await this.#cache.batch(operations, this.#namespace);
  }

  /** Yields the keys in order, all or those with a prefix. */
  async *yieldKeys(prefix?: string): AsyncGenerator<string> {
    yield* this.#cache.keys(this.#namespace, prefix === undefined ? {} : { prefix });
  }
}

/**
 * The messages of a conversation. What one call adds is one entry, so any number of chains may add to it at once.
 *
 * @example
 * ```ts
 * new RunnableWithMessageHistory({
 *   runnable: model,
 *   getMessageHistory: (sessionId) => new ContextCacheChatHistory(cache, { sessionId }),
 * });
 * ```
 */
export class ContextCacheChatHistory extends BaseListChatMessageHistory {
  override lc_namespace = ['agent_context_cache', 'langchain'];
  readonly #cache: ContextStore;
  readonly #namespace: string;

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheChatHistoryOptions) {
    super({});
    CHAT_HISTORY.check(options);
    const { sessionId, namespace = ['langchain', 'chats'] } = options ?? {};
    if (typeof sessionId !== 'string' || sessionId === '')
      throw invalid('ContextCacheChatHistory needs the name of the conversation: { sessionId: … }.');
    this.#cache = checkedCache('ContextCacheChatHistory', cache);
    this.#namespace = joinNamespace([...namespace, sessionId]);
  }

  async getMessages(): Promise<BaseMessage[]> {
    const messages: StoredMessage[] = [];
    for await (const { value } of this.#cache.entries(this.#namespace, {}))
      messages.push(...(fromJsonValue(value) as StoredMessage[]));
    return mapStoredMessagesToChatMessages(messages);
  }

  async addMessage(message: BaseMessage): Promise<void> {
    await this.addMessages([message]);
  }

  /** Adds messages behind all others, all or none. */
  override async addMessages(messages: BaseMessage[]): Promise<void> {
    if (messages.length === 0) return;
    await this.#cache.append(plain(mapChatMessagesToStoredMessages(messages)), this.#namespace);
  }

  /** Removes all messages. The past of the conversation stays in the cache. */
  override async clear(): Promise<void> {
    await this.#cache.clearNamespace(this.#namespace);
  }
}

/** Returns what is stored of messages: JSON, as LangChain writes it. */
function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(toJsonValue(value))) as JsonValue;
}

function checkedCache(owner: string, cache: ContextStore): ContextStore {
  if (typeof cache?.append === 'function') return cache;
  throw invalid(`${owner} takes a cache, or a client of one, as its first argument.`);
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
