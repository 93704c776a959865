import type { AgentCache } from '../../src/cache/agent-cache.ts';
import type { CacheMethods } from '../../src/cache/cache-methods.ts';
import type { NamespaceHandle } from '../../src/cache/namespace-handle.ts';
import type { RemoteContextCache } from '../../src/client.ts';
import type { ContextCommand } from '../../src/index.ts';
import type { Arguments, TOOLS } from '../../src/integrations/mcp-tools.ts';
import type { SocketRequest } from '../../src/wire/socket-protocol.ts';
import { observe, STRANGER, type Tries } from './access.ts';

/** How an agent without a right tries each way into a cache; see `test/cache/access-surface.test.ts`. */

/** A member that shows only what every agent may know, or gives an object whose members are tried themselves. */
const nothing = <Target>(call: (target: Target) => unknown) => [['nothing', call]] as const;

export const METHODS: Tries<CacheMethods> = {
  position: nothing((cache: CacheMethods) => cache.position),
  flush: nothing((cache: CacheMethods) => cache.flush()),
  barrier: nothing((cache: CacheMethods) => cache.barrier()),
  reached: nothing((cache: CacheMethods) => cache.reached(0)),
  get: [
    ['denied', (cache) => cache.get('code', 'vault')],
    ['denied', (cache) => cache.get('code', 'vault', { maxStalenessMs: 60_000 })],
  ],
  getMany: [['denied', (cache) => cache.getMany(['code'], 'vault')]],
  has: [['denied', (cache) => cache.has('code', 'vault')]],
  entry: [['denied', (cache) => cache.entry('code', 'vault')]],
  entries: [
    ['denied', (cache) => cache.entries('vault')],
    ['denied', (cache) => cache.entries('vault', { limit: 1 })],
  ],
  keys: [['denied', (cache) => cache.keys('vault')]],
  listKeys: [
    ['denied', (cache) => cache.listKeys('vault')],
    ['denied', (cache) => cache.listKeys('vault', { prefix: 'c' })],
  ],
  listNamespaces: [
    ['nothing', (cache) => cache.listNamespaces()],
    ['nothing', (cache) => cache.listNamespaces({ prefix: 'UNN', limit: 1 })],
  ],
  set: [
    ['denied', (cache) => cache.set('code', 1, 'vault')],
    ['denied', (cache) => cache.set('code', 1, 'vault', { ifVersion: 9 })],
    ['denied', (cache) => cache.set('code', 1, 'vault', { agent: 'keeper' })],
    ['denied', (cache) => cache.set('x', 1, 'open', { agent: 'keeper' })],
  ],
  setMany: [['denied', (cache) => cache.setMany({ code: 1 }, 'vault')]],
  delete: [['denied', (cache) => cache.delete('code', 'vault')]],
  touch: [['denied', (cache) => cache.touch('code', 'vault', { ttl: 1 })]],
  increment: [['denied', (cache) => cache.increment('n', 0, 'vault')]],
  append: [['denied', (cache) => cache.append(1, 'vault')]],
  batch: [
    ['denied', (cache) => cache.batch([{ operation: 'set', key: 'code', value: 1 }], 'vault')],
    ['denied', (cache) => cache.batch([{ operation: 'check', key: 'code', ifPresent: true }], 'vault')],
    ['denied', (cache) => cache.batch([], 'vault')],
  ],
  update: [
    ['denied', (cache) => cache.update('code', () => undefined, 'vault')],
    ['denied', (cache) => cache.update('code', () => 1, 'vault')],
  ],
  getOrSet: [['denied', (cache) => cache.getOrSet('code', () => 1, 'vault')]],
  clearNamespace: [
    ['denied', (cache) => cache.clearNamespace('vault')],
    ['denied', (cache) => cache.clearNamespace('vault', { prefix: 'c' })],
  ],
  dropNamespace: [['denied', (cache) => cache.dropNamespace('vault')]],
  as: [
    ['denied', (cache) => cache.as({ agent: 'keeper' }).get('code', 'vault')],
    ['denied', (cache) => cache.as({ agent: 'keeper' }).set('code', 1, 'vault')],
    ['denied', (cache) => cache.as({ meta: { a: 1 } }).get('code', 'vault')],
  ],
  transaction: [
    ['denied', (cache) => cache.transaction([{ namespace: 'vault', operation: 'set', key: 'code', value: 1 }])],
    ['denied', (cache) => cache.transaction([{ namespace: 'vault', operation: 'check', key: 'code', ifVersion: 1 }])],
    [
      'denied',
      (cache) =>
        cache.transaction([
          { namespace: 'open', operation: 'set', key: 'x', value: 1 },
          { namespace: 'vault', operation: 'delete', key: 'code' },
        ]),
    ],
  ],
  transact: [
    ['denied', (cache) => cache.transact((tx) => tx.get('code', 'vault'))],
    ['denied', (cache) => cache.transact((tx) => tx.has('code', 'vault'))],
    ['denied', (cache) => cache.transact((tx) => tx.set('code', 1, 'vault'))],
    ['denied', (cache) => cache.transact((tx) => tx.delete('code', 'vault'))],
  ],
  namespace: nothing((cache: CacheMethods) => cache.namespace('vault').name),
  changes: [
    ['nothing', (cache) => cache.changes({ since: 0 })],
    ['nothing', (cache) => cache.changes({ since: 0, prefix: 'va' })],
    ['denied', (cache) => cache.changes({ since: 0, namespace: 'vault' })],
  ],
  search: [
    ['nothing', (cache) => cache.search()],
    ['nothing', (cache) => cache.search({ limit: 1 })],
    ['nothing', (cache) => cache.search({ prefix: 'va', where: { '': { exists: true } } })],
    ['denied', (cache) => cache.search({ namespace: 'vault' })],
  ],
  watch: [
    ['nothing', (cache) => cache.watch({ include: 'snapshot' })],
    ['nothing', (cache) => cache.watch({ since: 0 })],
    ['denied', (cache) => cache.watch({ since: 0, namespace: 'vault' })],
    ['denied', (cache) => cache.watch({ since: 0, namespace: ['open', 'vault'] })],
  ],
  // That a watcher of everything is called with nothing hidden is tested below.
  subscribe: nothing((cache: CacheMethods) => cache.subscribe(() => {})()),
  history: [
    ['denied', (cache) => cache.history('code', 'vault')],
    ['nothing', (cache) => cache.history('based', 'open')],
  ],
  provenance: [
    ['denied', (cache) => cache.provenance('code', 'vault')],
    ['nothing', (cache) => cache.provenance('based', 'open')],
    ['nothing', (cache) => cache.provenance('based', 'open', { at: cache.position })],
    ['denied', (cache) => cache.provenance('code', 'vault', { at: 1 })],
  ],
  impact: [
    ['denied', (cache) => cache.impact({ key: 'code', namespace: 'vault' })],
    // The position of a write in the vault.
    ['denied', (cache) => cache.impact(1)],
    ['nothing', (cache) => cache.impact({ key: 'based', namespace: 'open' })],
  ],
  retract: [
    ['denied', (cache) => cache.retract(1)],
    ['denied', (cache) => cache.retract(1, { cascade: 'mark', dryRun: true })],
    ['denied', (cache) => cache.retract(1, { agent: 'keeper' })],
  ],
  contradictions: [
    ['nothing', (cache) => cache.contradictions()],
    ['denied', (cache) => cache.contradictions({ namespace: 'vault' })],
  ],
  briefing: [
    ['nothing', (cache) => cache.briefing({ agent: STRANGER })],
    ['nothing', (cache) => cache.briefing({ agent: 'keeper', since: 0, advance: false })],
    // The position up to which another agent was briefed.
    ['denied', (cache) => cache.briefing({ agent: 'keeper' })],
    ['denied', (cache) => cache.briefing({ agent: STRANGER, namespaces: ['vault'] })],
  ],
};

export type Vault = NamespaceHandle<object, string, never>;
const vault = (call: (handle: NamespaceHandle<Record<string, Record<string, unknown>>, string, never>) => unknown) =>
  [['denied', call as unknown as (handle: Vault) => unknown]] as const;

export const HANDLE: Tries<Vault> = {
  get: vault((handle) => handle.get('code')),
  getMany: vault((handle) => handle.getMany(['code'])),
  has: vault((handle) => handle.has('code')),
  entry: vault((handle) => handle.entry('code')),
  entries: vault((handle) => handle.entries()),
  keys: vault((handle) => handle.keys()),
  listKeys: vault((handle) => handle.listKeys()),
  search: vault((handle) => handle.search()),
  history: vault((handle) => handle.history('code')),
  provenance: vault((handle) => handle.provenance('code')),
  impact: vault((handle) => handle.impact('code')),
  contradictions: vault((handle) => handle.contradictions()),
  set: vault((handle) => handle.set('code', 1)),
  setMany: vault((handle) => handle.setMany({ code: 1 } as never)),
  delete: vault((handle) => handle.delete('code')),
  touch: vault((handle) => handle.touch('code', { ttl: 1 })),
  increment: vault((handle) => handle.increment('n')),
  append: vault((handle) => handle.append(1)),
  batch: vault((handle) => handle.batch([{ operation: 'delete', key: 'code' }])),
  update: vault((handle) => handle.update('code', () => 1)),
  getOrSet: vault((handle) => handle.getOrSet('code', () => 1)),
  clear: vault((handle) => handle.clear()),
  drop: vault((handle) => handle.drop()),
  changes: vault((handle) => handle.changes({ since: 0 })),
  watch: vault((handle) => handle.watch({ since: 0 })),
  subscribe: [],
};

export interface View {
  get(key: string, namespace: string): unknown;
  getMany(keys: string[], namespace: string): unknown;
  has(key: string, namespace: string): unknown;
  entry(key: string, namespace: string): unknown;
  entries(namespace: string, options?: object): unknown;
  keys(namespace: string): unknown;
  listKeys(namespace: string): unknown;
  listNamespaces(options?: object): unknown;
}

export const VIEW: Tries<View> = {
  get: [['denied', (view) => view.get('code', 'vault')]],
  getMany: [['denied', (view) => view.getMany(['code'], 'vault')]],
  has: [['denied', (view) => view.has('code', 'vault')]],
  entry: [['denied', (view) => view.entry('code', 'vault')]],
  entries: [
    ['denied', (view) => view.entries('vault')],
    ['denied', (view) => view.entries('vault', { limit: 1 })],
  ],
  keys: [['denied', (view) => view.keys('vault')]],
  listKeys: [['denied', (view) => view.listKeys('vault')]],
  listNamespaces: [
    ['nothing', (view) => view.listNamespaces()],
    ['nothing', (view) => view.listNamespaces({ prefix: 'UNN' })],
  ],
};

/** A cache as a token gives it: in this process, or through a connection. */
export type Own = AgentCache & RemoteContextCache;
const admin = (call: (cache: Own) => unknown) => [['denied', call]] as const;

export const OWN: Tries<Own> = {
  ask: [],
  at: nothing((cache: Own) => observe(async () => (await cache.at(cache.position)).position)),
  diff: [
    ['nothing', (cache) => cache.diff(0, cache.position)],
    ['denied', (cache) => cache.diff(0, cache.position, { namespace: 'vault' })],
  ],
  digest: [
    ['denied', (cache) => cache.digest()],
    ['denied', (cache) => cache.digest('vault')],
  ],
  health: nothing((cache: Own) => cache.health()),
  readLog: [
    ['nothing', (cache) => cache.readLog()],
    ['denied', (cache) => cache.readLog({ namespace: 'vault' })],
  ],
  synced: nothing((cache: Own) => cache.synced()),
};

/** A schema that refuses every value, so that a report would show it. */
const NOTHING = {
  '~standard': { version: 1 as const, vendor: 'test', validate: () => ({ issues: [{ message: 'refused' }] }) },
};

export const REMOTE: Tries<Own> = {
  ...OWN,
  connection: nothing((cache: Own) => cache.connection),
  agent: nothing((cache: Own) => cache.agent),
  checkSchemas: nothing((cache: Own) => cache.checkSchemas({ '*': NOTHING })),
  getGrants: admin((cache) => cache.getGrants()),
  setGrants: admin((cache) => cache.setGrants([])),
  addGrant: admin((cache) => cache.addGrant({ agent: STRANGER, admin: true })),
  removeGrant: admin((cache) => cache.removeGrant('keeper')),
  // The token of an agent never forgets, whatever its grant.
  forget: [['forbidden', (cache) => cache.forget('UNNAMED-subject')]],
  subjects: admin((cache) => cache.subjects()),
  setTopicsList: admin((cache) => cache.setTopicsList([])),
  getTopicsList: admin((cache) => cache.getTopicsList()),
  addTopic: admin((cache) => cache.addTopic('a.b')),
  removeTopic: admin((cache) => cache.removeTopic('a.b')),
  enableBackup: admin((cache) => cache.enableBackup()),
  disableBackup: admin((cache) => cache.disableBackup()),
  isBackupEnabled: nothing((cache: Own) => cache.isBackupEnabled()),
  setBackupSettings: admin((cache) => cache.setBackupSettings({ keep: 1 })),
  getBackupSettings: admin((cache) => cache.getBackupSettings()),
  getBackupStatus: admin((cache) => cache.getBackupStatus()),
  backup: admin((cache) => cache.backup()),
  listSnapshots: admin((cache) => cache.listSnapshots()),
  compact: admin((cache) => cache.compact({ keepUpdates: 1 })),
  verify: admin((cache) => cache.verify({})),
  // Closes the client only.
  shutdown: [],
};

/** Every command, and whether it is refused. A new type of command does not compile until it is here. */
export const COMMANDS: {
  readonly [Type in ContextCommand['type']]: readonly [
    'denied' | 'nothing',
    Omit<Extract<ContextCommand, { type: Type }>, 'type'>,
  ];
} = {
  'context.set': ['denied', { key: 'code', value: 1, namespace: 'vault' }],
  'context.delete': ['denied', { key: 'code', namespace: 'vault' }],
  'context.touch': ['denied', { key: 'code', namespace: 'vault', ttl: 1 }],
  'context.increment': ['denied', { key: 'n', namespace: 'vault', by: 0 }],
  'context.append': ['denied', { value: 1, namespace: 'vault' }],
  'context.clear': ['denied', { namespace: 'vault' }],
  'context.drop': ['denied', { namespace: 'vault' }],
  'context.batch': ['denied', { namespace: 'vault', operations: [{ operation: 'delete', key: 'code' }] }],
  'context.transaction': ['denied', { operations: [{ namespace: 'vault', operation: 'delete', key: 'code' }] }],
  'context.get': ['denied', { key: 'code', namespace: 'vault' }],
  'context.has': ['denied', { key: 'code', namespace: 'vault' }],
  'context.entry': ['denied', { key: 'code', namespace: 'vault' }],
  'context.keys': ['denied', { namespace: 'vault' }],
  'context.entries': ['denied', { namespace: 'vault' }],
  'context.namespaces': ['nothing', {}],
  'context.changes': ['nothing', { since: 0 }],
  'context.search': ['nothing', {}],
  'context.provenance': ['denied', { key: 'code', namespace: 'vault' }],
  'context.impact': ['denied', { position: 1 }],
  'context.contradictions': ['nothing', {}],
  'context.retract': ['denied', { position: 1 }],
  'grants.set': ['denied', { grants: [] }],
  'grants.add': ['denied', { grant: { agent: STRANGER, admin: true } }],
  'grants.remove': ['denied', { agent: 'keeper' }],
  'grants.list': ['denied', {}],
  'topics.set': ['denied', { topics: [] }],
  'topics.add': ['denied', { topic: 'a.b' }],
  'topics.remove': ['denied', { topic: 'a.b' }],
  'topics.list': ['denied', {}],
  'context.backup': ['denied', {}],
  'backup.enable': ['denied', {}],
  'backup.disable': ['denied', {}],
  'backup.set': ['denied', { settings: { keep: 1 } }],
  'backup.status': ['denied', {}],
  'namespace.passivate': ['denied', { namespace: 'vault' }],
  'namespace.restart': ['denied', { namespace: 'vault' }],
  'cache.compact': ['denied', { keepUpdates: 1 }],
  'subjects.forget': ['denied', { subject: 'UNNAMED-subject' }],
  'subjects.list': ['denied', {}],
  'cache.flush': ['nothing', {}],
  'cache.barrier': ['nothing', {}],
  'cache.reached': ['nothing', { position: 0 }],
  'cluster.raise': ['denied', {}],
  'cache.health': ['nothing', {}],
  'cache.verify': ['denied', {}],
};

/** Every request of the protocol between client and server. A new one does not compile until it is here. */
export const REQUESTS: { readonly [Type in SocketRequest['type']]: readonly ['denied' | 'nothing', object] } = {
  'write.entry': ['denied', { key: 'code', value: 1, namespace: 'vault' }],
  'read.many': ['denied', { keys: ['code'], namespace: 'vault' }],
  'read.entries': ['denied', { namespace: 'vault' }],
  'read.keys': ['denied', { namespace: 'vault', range: { limit: 1 } }],
  'read.namespaces': ['nothing', {}],
  'read.entry': ['denied', { key: 'code', namespace: 'vault', at: 1 }],
  'read.history': ['denied', { key: 'code', namespace: 'vault' }],
  'read.diff': ['nothing', { a: 0, b: 'present' }],
  'read.log': ['nothing', {}],
  watch: ['nothing', { since: 0 }],
  'view.open': ['nothing', { at: 1 }],
  'view.close': ['nothing', { at: 1 }],
  'cache.digest': ['denied', { namespace: 'vault' }],
  'cache.synced': ['nothing', {}],
  'cache.snapshots': ['denied', {}],
};

/** The query of every HTTP route that reads, and whether it is refused. */
export const HTTP: Readonly<Record<string, readonly (readonly [status: number, query: string])[]>> = {
  '/v1/dump': [
    [200, ''],
    [200, 'at=3'],
    [403, 'namespace=vault'],
    [403, 'namespace=vault&at=3'],
  ],
  '/v1/keys': [[403, 'namespace=vault']],
  '/v1/entries': [[403, 'namespace=vault&limit=1']],
  '/v1/log': [
    [200, ''],
    [403, 'namespace=vault'],
  ],
  '/v1/history': [[403, 'key=code&namespace=vault']],
  '/v1/diff': [
    [200, 'a=0&b=4'],
    [403, 'a=0&b=4&namespace=vault'],
  ],
  '/v1/changes': [
    [200, 'since=0'],
    [403, 'since=0&namespace=vault'],
  ],
  '/v1/watch': [
    [200, 'since=0'],
    [403, 'since=0&namespace=vault'],
  ],
  '/v1/health': [[200, '']],
  '/metrics': [[403, 'namespaces=10']],
  '/v1/snapshots': [[403, '']],
};

/** Every tool of MCP. */
export const MCP: { readonly [Name in keyof typeof TOOLS]: readonly ['denied' | 'nothing', Partial<Arguments>] } = {
  get: ['denied', { key: 'code', namespace: 'vault' }],
  set: ['denied', { key: 'code', namespace: 'vault', value: 1, ifVersion: 9 }],
  update: ['denied', { key: 'code', namespace: 'vault', patch: {} }],
  delete: ['denied', { key: 'code', namespace: 'vault' }],
  list: ['denied', { namespace: 'vault', values: true }],
  namespaces: ['nothing', {}],
  search: ['nothing', { text: 's3cret' }],
  history: ['denied', { key: 'code', namespace: 'vault' }],
  changes: ['nothing', { since: 0 }],
  briefing: ['nothing', {}],
  retract: ['denied', { position: 2, cascade: 'restore', dryRun: true }],
};
