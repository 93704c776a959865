import type { Attributes } from '@opentelemetry/api';
import type { ChannelMessages } from '../monitoring.ts';

type Command = ChannelMessages['command'] | ChannelMessages['clientCommand'];

/**
 * Names of the semantic conventions.
 *
 * `db.*`, `error.type`, `server.*`: stable; version 1.41 of
 * https://github.com/open-telemetry/semantic-conventions/blob/main/docs/db/database-spans.md and `database-metrics.md`.
 * `gen_ai.*`: in development; the memory operations of
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md#memory
 */
export const NAMES = {
  system: 'db.system.name',
  operation: 'db.operation.name',
  namespace: 'db.namespace',
  batchSize: 'db.operation.batch.size',
  statusCode: 'db.response.status_code',
  errorType: 'error.type',
  address: 'server.address',
  port: 'server.port',
  memoryOperation: 'gen_ai.operation.name',
  memoryStore: 'gen_ai.memory.store.id',
  memoryRecord: 'gen_ai.memory.record.id',
  memoryCount: 'gen_ai.memory.record.count',
  agent: 'gen_ai.agent.name',
  /** A histogram in seconds. */
  duration: 'db.client.operation.duration',
} as const;

/** The value of `db.system.name`, and the name of tracer and meter. */
export const SYSTEM = 'agent-context-cache';

/** Bounds of the buckets that the conventions give for `db.client.operation.duration`, seconds. */
export const DURATION_BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

/** Commands that look for records of a memory. */
const SEARCHES: ReadonlySet<string> = new Set(
  ['get', 'getMany', 'has', 'entry', 'entries', 'keys', 'history', 'changes'].map((name) => `context.${name}`),
);

/** Operations on memories by command; a `set` depends on its condition, a batch on its operations. */
const MEMORY_OPERATIONS: { readonly [command: string]: string } = {
  'context.touch': 'update_memory',
  'context.increment': 'upsert_memory',
  'context.append': 'create_memory',
  'context.delete': 'delete_memory',
  'context.clear': 'delete_memory',
  'context.drop': 'delete_memory_store',
};

const OF_BATCHES = { set: 'upsert_memory', delete: 'delete_memory', touch: 'update_memory' } as const;

/** Returns the name of a command as `db.operation.name` has it: without `context.`, and `BATCH …` for a batch of several. */
export function operationOf({ command, size, operation }: Command): string {
  if (command !== 'context.batch') return command.replace(/^context\./, '');
  if (size === 1 && operation !== undefined) return operation;
  return operation === undefined ? 'BATCH' : `BATCH ${operation}`;
}

/** Returns the operation on a memory that a command is; `undefined` for a command about the cache itself. */
export function memoryOperationOf({ command, condition, operation }: Command): string | undefined {
  if (SEARCHES.has(command)) return 'search_memory';
  if (command === 'context.batch') return operation === undefined ? 'upsert_memory' : OF_BATCHES[operation];
  if (command !== 'context.set') return MEMORY_OPERATIONS[command];
  if (condition === 'create') return 'create_memory';
  return condition === 'replace' ? 'update_memory' : 'upsert_memory';
}

/** Returns the attributes of a command that are known when it begins. */
export function attributesOf(message: Command): Attributes {
  const { command, namespace, agent, size, key } = message;
  const memoryOperation = memoryOperationOf(message);
  const attributes: Attributes = {
    [NAMES.system]: SYSTEM,
    [NAMES.operation]: operationOf(message),
    ...serverOf(message),
  };
  if (namespace !== undefined) attributes[NAMES.namespace] = namespace;
  if (command === 'context.batch' && size !== undefined && size !== 1) attributes[NAMES.batchSize] = size;
  if (agent !== null) attributes[NAMES.agent] = agent;
  if (memoryOperation === undefined) return attributes;
  attributes[NAMES.memoryOperation] = memoryOperation;
  if (namespace !== undefined) attributes[NAMES.memoryStore] = namespace;
  if (key !== undefined) attributes[NAMES.memoryRecord] = key;
  const isOfRecords = memoryOperation !== 'search_memory' && command !== 'context.clear' && command !== 'context.drop';
  if (isOfRecords) attributes[NAMES.memoryCount] = command === 'context.batch' ? (size ?? 0) : 1;
  return attributes;
}

/** Returns the attributes of a command that are known when it has ended. */
export function outcomeOf(message: Command): Attributes {
  const attributes = failureOf(message);
  if (message.found !== undefined && memoryOperationOf(message) === 'search_memory')
    attributes[NAMES.memoryCount] = message.found;
  return attributes;
}

/** Returns the attributes of a failure. */
export function failureOf({ code }: { readonly code: string | undefined }): Attributes {
  return code === undefined ? {} : { [NAMES.statusCode]: code, [NAMES.errorType]: code };
}

/** Returns the attributes of `db.client.operation.duration`. A namespace only if that was asked for: there may be many. */
export function metricAttributesOf(message: Command, namespaces: boolean): Attributes {
  const { namespace } = message;
  return {
    [NAMES.system]: SYSTEM,
    [NAMES.operation]: operationOf(message),
    ...serverOf(message),
    ...failureOf(message),
    ...(namespaces && namespace !== undefined ? { [NAMES.namespace]: namespace } : {}),
  };
}

function serverOf(message: Command): Attributes {
  return 'address' in message ? { [NAMES.address]: message.address, [NAMES.port]: message.port } : {};
}
