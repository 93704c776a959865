import type { BatchOperation, ContextCommand } from './command.ts';
import { type Fields, type FieldsOf, lookUp } from './command-fields.ts';

const EXPIRY = { ttl: 'may', expiresAt: 'may' } as const;
const REMOVE = { ifVersion: 'may', ifPresent: 'may' } as const;
const SUBJECT = { subject: 'may', subjects: 'may' } as const;
const WRITE = { ...EXPIRY, ...REMOVE, ...SUBJECT, ifAbsent: 'may', ifDifferent: 'may' } as const;
const IN_BATCH = { key: 'must', onConflict: 'may' } as const;

/** The fields of each operation of a batch. */
export const BATCH_FIELDS: ReadonlyMap<string, Fields> = lookUp({
  set: { value: 'must', ...IN_BATCH, ...WRITE },
  delete: { ...IN_BATCH, ...REMOVE },
  touch: { ...IN_BATCH, ...EXPIRY, ...REMOVE },
  check: { ...IN_BATCH, ...REMOVE, ifAbsent: 'may' },
} satisfies {
  readonly [Name in BatchOperation['operation']]: FieldsOf<Extract<BatchOperation, { operation: Name }>, 'operation'>;
});

const IN_NAMESPACE = { namespace: 'may' } as const;
const OF_KEY = { key: 'must', ...IN_NAMESPACE } as const;
const IN_RANGE = { prefix: 'may', from: 'may', to: 'may', after: 'may', reverse: 'may', limit: 'may' } as const;
const ORIGIN = { agent: 'may', meta: 'may', operationId: 'may', basis: 'may' } as const;
const BY_AGENT = { ...ORIGIN, ...IN_NAMESPACE } as const;

/** The fields of each command. */
export const COMMAND_FIELDS: ReadonlyMap<string, Fields> = lookUp({
  'context.set': { value: 'must', ...OF_KEY, ...BY_AGENT, ...WRITE },
  'context.delete': { ...OF_KEY, ...BY_AGENT, ...REMOVE },
  'context.touch': { ...OF_KEY, ...BY_AGENT, ...EXPIRY, ...REMOVE },
  'context.increment': { by: 'may', ...OF_KEY, ...BY_AGENT, ...EXPIRY, ...REMOVE },
  'context.append': { value: 'must', prefix: 'may', ...BY_AGENT, ...EXPIRY, ...SUBJECT },
  'context.clear': { prefix: 'may', ...BY_AGENT },
  'context.drop': BY_AGENT,
  'context.batch': { operations: 'must', ...BY_AGENT },
  'context.transaction': { operations: 'must', ...ORIGIN },
  'context.get': { ...OF_KEY, maxStalenessMs: 'may' },
  'context.has': OF_KEY,
  'context.entry': { ...OF_KEY, maxStalenessMs: 'may' },
  'context.keys': { ...IN_NAMESPACE, ...IN_RANGE },
  'context.entries': { ...IN_NAMESPACE, ...IN_RANGE },
  'context.namespaces': IN_RANGE,
  'context.changes': { since: 'must', namespace: 'may', prefix: 'may', limit: 'may' },
  'context.search': { where: 'may', namespace: 'may', prefix: 'may', after: 'may', limit: 'may' },
  'context.provenance': { ...OF_KEY, at: 'may', limit: 'may' },
  'context.contradictions': { namespace: 'may', since: 'may', limit: 'may' },
  'context.impact': { position: 'may', key: 'may', namespace: 'may', limit: 'may' },
  'context.retract': {
    position: 'must',
    reason: 'may',
    cascade: 'may',
    dryRun: 'may',
    agent: 'may',
    operationId: 'may',
  },
  'grants.set': { grants: 'must' },
  'grants.add': { grant: 'must' },
  'grants.remove': { agent: 'must' },
  'grants.list': {},
  'topics.set': { topics: 'must' },
  'topics.add': { topic: 'must' },
  'topics.remove': { topic: 'must' },
  'topics.list': {},
  'context.backup': {},
  'backup.enable': { settings: 'may' },
  'backup.disable': {},
  'backup.set': { settings: 'must' },
  'backup.status': {},
  'namespace.passivate': { namespace: 'must' },
  'namespace.restart': { namespace: 'must' },
  'cache.compact': { keepUpdates: 'may', keepMs: 'may', keepBytes: 'may', forget: 'may' },
  'subjects.forget': { subject: 'must', reason: 'may', ...ORIGIN },
  'subjects.list': {},
  'cache.flush': {},
  'cache.barrier': {},
  'cluster.raise': { protocol: 'may' },
  'cache.reached': { position: 'must', timeoutMs: 'may' },
  'cache.health': {},
  'cache.verify': { against: 'may', repair: 'may' },
} satisfies {
  readonly [Type in ContextCommand['type']]: FieldsOf<Extract<ContextCommand, { type: Type }>, 'type'>;
});
