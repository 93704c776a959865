import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  compareWritesSortKeys,
  getCheckpointId,
  maxChannelVersion,
  type PendingWrite,
  type SerializerProtocol,
  TASKS,
  WRITES_IDX_MAP,
  writesSortKey,
} from '@langchain/langgraph-checkpoint';
import { optionNames } from '../core/options.ts';
import { ContextCacheError, type ContextStore, type JsonValue, joinNamespace, splitNamespace } from '../index.ts';
import type { NamespaceName } from '../types.ts';
import { deserialized, type StoredCheckpoint, type StoredWrite, serialized } from './langgraph-serde.ts';

/** Options of {@link ContextCacheSaver}. */
export interface ContextCacheSaverOptions {
  /** The parts below which each thread has its namespace. Default `['langgraph', 'threads']`. */
  readonly namespace?: readonly string[] | undefined;
  /** Turns values into bytes and back. Default: that of LangGraph, whose JSON is stored as JSON. */
  readonly serde?: SerializerProtocol | undefined;
}

const OPTIONS = optionNames<ContextCacheSaverOptions>('ContextCacheSaver', { namespace: true, serde: true });

/** A checkpoint, by the names that LangGraph gives. */
interface Address {
  readonly thread: string;
  readonly ns: string;
  readonly id: string;
}

/**
 * A checkpoint saver for LangGraph on a cache, or on a client of one. Each thread is a namespace; a checkpoint and each write
 * of a task is a key in it.
 *
 * @example
 * ```ts
 * const graph = builder.compile({ checkpointer: new ContextCacheSaver(cache) });
 * await graph.invoke(input, { configurable: { thread_id: 'ann' } });
 * ```
 */
export class ContextCacheSaver extends BaseCheckpointSaver {
  readonly #cache: ContextStore;
  readonly #root: readonly string[];

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheSaverOptions = {}) {
    const { namespace = ['langgraph', 'threads'], serde } = OPTIONS.checked(options);
    super(serde);
    if (typeof cache?.entries !== 'function')
      throw invalid('ContextCacheSaver takes a cache, or a client of one, as its first argument.');
    joinNamespace(namespace);
    this.#cache = cache;
    this.#root = [...namespace];
  }

  /** Resolves with the checkpoint that `config` names, or with the newest one of its thread and namespace. */
  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const thread = optional(config, 'thread_id');
    if (thread === undefined) return undefined;
    const ns = optional(config, 'checkpoint_ns') ?? '';
    const id = getCheckpointId(config);
    if (id !== '') {
      const stored = await this.#cache.get(keyOf('checkpoint', ns, id), this.#namespace(thread));
      return stored === undefined ? undefined : this.#tuple({ thread, ns, id }, stored);
    }
    const newest = { prefix: keyOf('checkpoint', ns), reverse: true, limit: 1 };
    for await (const { key, value } of this.#cache.entries(this.#namespace(thread), newest))
      return this.#tuple({ thread, ns, id: partsOf(key)[2] as string }, value);
    return undefined;
  }

  /** Yields the checkpoints of a thread, newest first; of all threads, one after the other, if `config` names none. */
  async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { before, filter = {} } = options;
    let { limit = Number.POSITIVE_INFINITY } = options;
    for await (const address of this.#addresses(config, before && getCheckpointId(before))) {
      if (limit <= 0) return;
      const stored = await this.#cache.get(
        keyOf('checkpoint', address.ns, address.id),
        this.#namespace(address.thread),
      );
      if (stored === undefined) continue;
      const { metadata } = stored as unknown as StoredCheckpoint;
      const found = (await deserialized(this.serde, metadata)) as { readonly [name: string]: unknown };
      if (!Object.entries(filter).every(([name, value]) => found[name] === value)) continue;
      limit -= 1;
      yield this.#tuple(address, stored);
    }
  }

  /**
   * Stores a checkpoint of the thread that `config` names, whose checkpoint becomes its parent. Each checkpoint holds the values
   * of all its channels, so that no branch of a thread depends on another one. Only the first one after an input holds
   * those alone that `newVersions` names, as LangGraph's suite demands.
   */
  async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const thread = required(config, 'thread_id', 'put a checkpoint');
    const ns = optional(config, 'checkpoint_ns') ?? '';
    const parent = optional(config, 'checkpoint_id');
    const isFirst = !parent && metadata.source === 'input';
    const changed = Object.entries(checkpoint.channel_values).filter(([name]) => Object.hasOwn(newVersions, name));
    const whole = isFirst ? { ...checkpoint, channel_values: Object.fromEntries(changed) } : checkpoint;
    const serialize = (value: unknown) => serialized(this.serde, value);
    const stored = {
      checkpoint: await serialize(whole),
      metadata: await serialize(metadata),
      ...(parent && { parent }),
    };
    await this.#cache.set(keyOf('checkpoint', ns, checkpoint.id), stored, this.#namespace(thread));
    return configOf({ thread, ns, id: checkpoint.id });
  }

  /** Stores what a task has written, all or none. Repeated writes of the same task are ignored, as LangGraph requires. */
  async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath = ''): Promise<void> {
    const thread = required(config, 'thread_id', 'put writes');
    const id = required(config, 'checkpoint_id', 'put writes');
    const ns = optional(config, 'checkpoint_ns') ?? '';
    const operations = await Promise.all(
      writes.map(async ([channel, value], position) => {
        const index = WRITES_IDX_MAP[channel] || position;
        const stored = { channel: String(channel), value: await serialized(this.serde, value), taskPath };
        const key = keyOf('write', ns, id, taskId, String(index));
        // Errors, interrupts and their like have an index below 0, and the last of them counts.
        const condition = index < 0 ? {} : ({ ifAbsent: true, onConflict: 'skip' } as const);
        return { operation: 'set' as const, key, value: stored, ...condition };
      }),
    );
    if (operations.length > 0) await this.#cache.batch(operations, this.#namespace(thread));
  }

  /** Removes all checkpoints and writes of a thread in one step. */
  async deleteThread(threadId: string): Promise<void> {
    await this.#cache.dropNamespace(this.#namespace(threadId));
  }

  #namespace(thread: string): NamespaceName {
    return joinNamespace([...this.#root, thread]);
  }

  async *#addresses(config: RunnableConfig, before: string | undefined): AsyncGenerator<Address> {
    const wanted = optional(config, 'thread_id');
    const ns = optional(config, 'checkpoint_ns');
    const only = optional(config, 'checkpoint_id');
    const names = wanted === undefined ? await this.#cache.listNamespaces({ prefix: this.#root }) : [];
    const parts = names.map(partsOf).filter(({ length }) => length === this.#root.length + 1);
    for (const thread of wanted === undefined ? parts.map((each) => each.at(-1) as string) : [wanted]) {
      const prefix = ns === undefined ? keyOf('checkpoint') : keyOf('checkpoint', ns);
      const keys = await this.#cache.listKeys(this.#namespace(thread), { prefix, reverse: true });
      const addresses = keys.map((key) => ({ thread, ns: partsOf(key)[1] as string, id: partsOf(key)[2] as string }));
      // Ids begin with their time. Those of one namespace are in order already.
      if (ns === undefined) addresses.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
      for (const address of addresses) {
        if ((!only || address.id === only) && (!before || address.id < before)) yield address;
      }
    }
  }

  async #tuple(address: Address, value: JsonValue): Promise<CheckpointTuple> {
    const { checkpoint, metadata, parent } = value as unknown as StoredCheckpoint;
    const [state, about, writes] = await Promise.all([
      deserialized(this.serde, checkpoint) as Promise<Checkpoint>,
      deserialized(this.serde, metadata) as Promise<CheckpointMetadata>,
      this.#writes(address),
    ]);
    if (state.v < 4 && parent !== undefined) await this.#addPendingSends(state, { ...address, id: parent });
    const tuple = { config: configOf(address), checkpoint: state, metadata: about, pendingWrites: writes };
    return parent === undefined ? tuple : { ...tuple, parentConfig: configOf({ ...address, id: parent }) };
  }

  /** Resolves with the writes that followed a checkpoint, in the order in which a run applies them. */
  async #writes({ thread, ns, id }: Address): Promise<CheckpointPendingWrite[]> {
    const found: { readonly taskId: string; readonly index: number; readonly write: StoredWrite }[] = [];
    for await (const { key, value } of this.#cache.entries(this.#namespace(thread), {
      prefix: keyOf('write', ns, id),
    })) {
      const [, , , taskId = '', index] = partsOf(key);
      found.push({ taskId, index: Number(index), write: value as unknown as StoredWrite });
    }
    const sortKey = ({ taskId, index, write }: (typeof found)[number]) => writesSortKey(write.taskPath, taskId, index);
    found.sort((a, b) => compareWritesSortKeys(sortKey(a), sortKey(b)));
    return Promise.all(
      found.map(
        async ({ taskId, write }) => [taskId, write.channel, await deserialized(this.serde, write.value)] as const,
      ),
    );
  }

  /** Checkpoints of LangGraph's formats before 4 keep what was sent to tasks with the writes of their parent. */
  async #addPendingSends(checkpoint: Checkpoint, parent: Address): Promise<void> {
    const sends = (await this.#writes(parent)).filter(([, channel]) => channel === TASKS).map(([, , value]) => value);
    checkpoint.channel_values = { ...checkpoint.channel_values, [TASKS]: sends };
    const versions = Object.values(checkpoint.channel_versions ?? {});
    const version = versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
    checkpoint.channel_versions = { ...checkpoint.channel_versions, [TASKS]: version };
  }
}

/** Returns a key that begins with these parts, and that no other parts begin. */
function keyOf(...parts: [kind: 'checkpoint' | 'write', ...rest: string[]]): string {
  return joinNamespace(parts);
}

const partsOf = (key: string): string[] => splitNamespace(key) ?? [];

function configOf({ thread, ns, id }: Address): RunnableConfig {
  return { configurable: { thread_id: thread, checkpoint_ns: ns, checkpoint_id: id } };
}

function optional(config: RunnableConfig, name: string): string | undefined {
  const value: unknown = config.configurable?.[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  throw invalid(
    `configurable.${name} must be a string, not ${Array.isArray(value) ? 'an array' : `a ${typeof value}`}.`,
  );
}

function required(config: RunnableConfig, name: string, purpose: string): string {
  const value = optional(config, name);
  if (value) return value;
  throw invalid(`To ${purpose}, pass a config with configurable.${name}: { configurable: { ${name}: '…' } }.`);
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
