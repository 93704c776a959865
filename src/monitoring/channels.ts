import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { type Message, Trace } from './trace.ts';

/** The position of a trace that goes on from another process, in the fields of W3C Trace Context. */
export interface TraceParent {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** A command: a write, a read, or one about the cache. Names no key and no value. */
export interface CommandFields {
  /** Type of the command, such as `context.set`. Reads of several keys that are no command have names like it: `context.getMany`. */
  readonly command: string;
  /** `undefined` if the command is not about one namespace. */
  readonly namespace: string | undefined;
  /** The agent that writes; `null` if none was named, and for reads. */
  readonly agent: string | null;
  /** Id of the log of the cache. */
  readonly log: string;
  /** Number of operations of a batch, or of keys of a `context.getMany`; `undefined` for all others. */
  readonly size: number | undefined;
  /** The kind of all operations of a batch; `undefined` if they are of several kinds, and for all other commands. */
  readonly operation: 'set' | 'delete' | 'touch' | undefined;
  /** `create` if the write requires that the key is missing, `replace` if it requires a version; otherwise `undefined`. */
  readonly condition: 'create' | 'replace' | undefined;
  /** The trace that a write belongs to, from `traceparent` and `tracestate` in its `meta`. */
  readonly trace: TraceParent | undefined;
  /** The key. Only with `monitoring: { details: true }`, and only for commands about one key. */
  readonly key?: string;
  /** At the end of a write: whether it caused an update. */
  changed?: boolean;
  /** At the end of a write: position of its last update. */
  position?: number;
  /** At the end of a read: number of entries, keys or names that were found. */
  found?: number;
}

/** A command that a client sends to a server. */
export interface ClientCommandFields extends CommandFields {
  /** Host of the server, as in its URL. */
  readonly address: string;
  readonly port: number;
}

/** A group of updates that becomes durable, or in memory takes effect for followers and watchers. */
export interface CommitFields {
  readonly log: string;
  readonly durable: boolean;
  /** Number of updates. */
  readonly updates: number;
  /** Position of the first update. */
  readonly first: number;
  /** Position of the last update. */
  readonly last: number;
  /** Estimated bytes of the values. */
  readonly bytes: number;
}

/** A batch that a follower delivers to its destination. */
export interface DeliveryFields {
  readonly log: string;
  /** `mirror`, `broadcaster`, `backup` or `index`. */
  readonly follower: string;
  /** `batch`; or `resync`, which copies the whole state. */
  readonly kind: 'batch' | 'resync';
  /** Number of updates; 0 for a `resync`, and for a follower that only learns how far the log has come. */
  readonly updates: number;
  /** Position up to which the follower has delivered everything once this is done. */
  readonly through: number;
  /** Traces that the updates belong to, at most 16 of them. */
  readonly traces: readonly TraceParent[];
}

/** An attempt of a follower to connect to its destination. */
export interface ConnectFields {
  readonly log: string;
  /** `mirror`, `broadcaster`, `backup` or `index`. */
  readonly follower: string;
  /** 1 for the first attempt, and for the first one after a success. */
  readonly attempt: number;
}

/** An attempt of a client to connect to a server. */
export interface ClientConnectFields {
  /** Address of the server for messages, without the token. */
  readonly target: string;
  /** 1 for the first attempt, and for the first one after a success. */
  readonly attempt: number;
}

/** Commands of caches in this process: of methods, handles, HTTP, NATS and clients alike. */
export const COMMANDS = new Trace<CommandFields>('agent-context-cache.command');
/** Commits of the logs of caches in this process. */
export const COMMITS = new Trace<CommitFields>('agent-context-cache.commit');
/** Deliveries of the followers of caches in this process. */
export const DELIVERIES = new Trace<DeliveryFields>('agent-context-cache.delivery');
/** Connections of the followers of caches in this process. */
export const CONNECTS = new Trace<ConnectFields>('agent-context-cache.connect');
/** Commands that clients in this process send to servers. */
export const CLIENT_COMMANDS = new Trace<ClientCommandFields>('agent-context-cache.client.command');
/** Connections of clients in this process. */
export const CLIENT_CONNECTS = new Trace<ClientConnectFields>('agent-context-cache.client.connect');

/**
 * The names of the tracing channels, for `tracingChannel` of `node:diagnostics_channel`.
 *
 * @example
 * ```ts
 * tracingChannel(CHANNELS.command).subscribe({ asyncEnd: ({ command, code }) => count(command, code) });
 * ```
 */
export const CHANNELS = Object.freeze({
  command: COMMANDS.name,
  commit: COMMITS.name,
  delivery: DELIVERIES.name,
  connect: CONNECTS.name,
  clientCommand: CLIENT_COMMANDS.name,
  clientConnect: CLIENT_CONNECTS.name,
});

/** The messages of each channel in {@link CHANNELS}. */
export interface ChannelMessages {
  readonly command: Message<CommandFields>;
  readonly commit: Message<CommitFields>;
  readonly delivery: Message<DeliveryFields>;
  readonly connect: Message<ConnectFields>;
  readonly clientCommand: Message<ClientCommandFields>;
  readonly clientConnect: Message<ClientConnectFields>;
}

/** Returns what all operations of a batch do; `undefined` if they do different things, or there are none. */
export function commonOperation(
  operations: readonly { readonly operation: 'set' | 'delete' | 'touch' }[],
): CommandFields['operation'] {
  const first = operations[0]?.operation;
  return operations.every(({ operation }) => operation === first) ? first : undefined;
}

/** Returns the message about a commit of updates, of which there is at least one. */
export function commitOf(log: string, durable: boolean, updates: readonly Update[]): CommitFields {
  const [first, last] = [updates[0]?.position ?? 0, updates.at(-1)?.position ?? 0];
  let bytes = 0;
  for (const update of updates) bytes += update.bytes;
  return { log, durable, updates: updates.length, first, last, bytes };
}

/** Most traces that a delivery names. */
const MAX_TRACES = 16;

/** Returns the different traces that updates belong to, the first {@link MAX_TRACES} of them. */
export function tracesOf(updates: readonly Update[]): TraceParent[] {
  const traces = new Map<string, TraceParent>();
  for (const update of updates) {
    const { meta } = update;
    const trace = meta === undefined ? undefined : traceOf(meta);
    if (trace !== undefined) traces.set(trace.traceparent, trace);
    if (traces.size === MAX_TRACES) break;
  }
  return [...traces.values()];
}

/** Version, trace id, parent id and flags, as W3C Trace Context writes them. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** Returns the trace that `meta` names; `undefined` if it names none, or not in the form of W3C Trace Context. */
export function traceOf(meta: JsonValue | undefined): TraceParent | undefined {
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return undefined;
  const { traceparent, tracestate } = meta as { readonly [name: string]: JsonValue };
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return undefined;
  return typeof tracestate === 'string' ? { traceparent, tracestate } : { traceparent };
}
