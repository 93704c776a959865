import { type Import, importsOf, type Sources, type Violation } from './architecture.ts';

/** A permission to import a layer: everything of it, `type` for types alone, `lazy` for types and `await import()`. */
type Permission = Layer | `type ${Layer}` | `lazy ${Layer}`;

/** A folder below `src/`. A subfolder that is not named here belongs to the folder above it. */
export type Layer =
  | 'core'
  | 'monitoring'
  | 'storage'
  | 'storage/memory'
  | 'storage/disk'
  | 'backends'
  | 'backends/redis'
  | 'machines'
  | 'followers'
  | 'followers/backup'
  | 'followers/broadcast'
  | 'followers/mirror'
  | 'actors'
  | 'subjects'
  | 'engine'
  | 'cluster'
  | 'cluster/machine'
  | 'cluster/jetstream'
  | 'cluster/open'
  | 'past'
  | 'verify'
  | 'verify/disk'
  | 'replay'
  | 'wire'
  | 'inspector'
  | 'inspector/reads'
  | 'inspector/feeds'
  | 'inspector/server'
  | 'inspector/page'
  | 'cache'
  | 'testing'
  | 'index'
  | 'remote'
  | 'serve'
  | 'share'
  | 'integrations'
  | 'cli';

const STORAGE = ['storage', 'storage/memory', 'storage/disk'] as const;
const BACKENDS = ['backends', 'backends/redis'] as const;
const FOLLOWERS = ['followers', 'followers/backup', 'followers/broadcast', 'followers/mirror'] as const;
/** Types of the cache that the inspector's port is made of. */
const SHOWN = [
  'type backends',
  'type engine',
  'type followers',
  'type followers/backup',
  'type past',
  'type verify',
] as const;

/** The layers that each layer may import besides itself, lowest layer first. `machines` is the folder beside `src/`. */
const MAY_IMPORT: Readonly<Record<Layer, readonly Permission[]>> = {
  core: [],
  monitoring: ['core'],
  wire: ['core'],
  // The contract knows neither of its two engines, and they do not know each other.
  storage: ['core'],
  'storage/memory': ['core', 'monitoring', 'storage'],
  'storage/disk': ['core', 'monitoring', 'storage'],
  backends: ['core'],
  'backends/redis': ['core', 'backends'],
  machines: ['type core'],
  // The common part of all followers knows none of them, and they do not know each other.
  followers: ['core', 'monitoring', 'storage', 'machines'],
  'followers/backup': ['core', 'storage', 'followers', ...BACKENDS],
  'followers/broadcast': ['core', 'storage', 'followers'],
  'followers/mirror': ['core', 'storage', 'followers', 'backends'],
  actors: ['core', 'storage', 'machines', 'backends'],
  // The keys of subjects. The core seals and opens values through a port.
  subjects: ['core'],
  engine: ['core', 'monitoring', ...STORAGE, ...BACKENDS, ...FOLLOWERS, 'actors', 'subjects'],
  // The rules of a cluster know the core alone. The engine of a node is given to them as a port.
  'cluster/machine': ['core'],
  cluster: ['core', 'cluster/machine'],
  'cluster/jetstream': ['core', 'cluster', 'followers/broadcast'],
  // Joins the rules to an engine, and is loaded when a cache of a cluster is opened.
  'cluster/open': [
    ...(['core', 'storage', 'type actors', 'engine', 'cluster', 'cluster/machine'] as const),
    ...(['type cluster/jetstream', 'lazy cluster/jetstream', 'type cache'] as const),
  ],
  past: ['core', 'storage', 'type backends', 'engine'],
  verify: ['core', ...STORAGE, ...BACKENDS, 'followers/backup', 'engine', 'past', 'verify/disk'],
  'verify/disk': ['core', 'storage', 'storage/disk', 'type verify'],
  replay: ['core', 'wire', ...STORAGE, 'followers/backup', 'followers/broadcast', 'engine'],
  // The inspector knows types of the cache, and uses it through `inspectable.ts`.
  inspector: ['type core', ...SHOWN],
  'inspector/reads': ['core', 'inspector', ...SHOWN],
  'inspector/feeds': ['core', 'inspector', 'inspector/reads', ...SHOWN],
  'inspector/server': ['core', 'wire', 'machines', 'inspector', 'inspector/reads', 'inspector/feeds', ...SHOWN],
  'inspector/page': ['type core', 'inspector', ...SHOWN],
  cache: [
    ...(['core', ...STORAGE, 'backends', 'followers/backup', 'actors', 'engine', 'past', 'replay'] as const),
    ...(['verify', 'verify/disk', 'type inspector', 'lazy inspector/server', 'type subjects'] as const),
    // `AgentContextCache.share` is loaded when it is called.
    ...(['type remote', 'lazy share', 'type cluster/open', 'lazy cluster/open'] as const),
  ],
  // A client: it knows the types of the cache, its option checks and its handle, and none of its parts.
  remote: ['core', 'monitoring', 'wire', ...SHOWN, 'type cache', 'type actors', 'type storage'],
  testing: ['core', ...SHOWN, 'type cache', 'type actors'],
  // `src/index.ts`, and the entry of each subpath beside it.
  index: [
    ...([
      'core',
      'monitoring',
      'storage',
      ...BACKENDS,
      ...FOLLOWERS,
      'actors',
      'subjects',
      'engine',
      'past',
      'verify',
      'replay',
      'cache',
      'remote',
    ] as const),
    ...(['type inspector', 'inspector/reads', 'type share'] as const),
  ],
  // These use a cache as any program does.
  integrations: ['index'],
  // Its core knows the cache by types alone: the cache itself can share a directory, for which it needs the server.
  serve: ['core', 'index', 'wire', ...SHOWN, 'type actors', 'type cache', 'type inspector'],
  share: ['core', 'monitoring', 'wire', 'remote', 'serve', 'type engine', 'type cache'],
  cli: ['index', 'wire', 'serve'],
};

/** Single files that a layer may import besides, with the reason. */
const FILES: Partial<Record<Layer, Readonly<Record<string, string>>>> = {
  wire: { 'src/backends/replace-file.ts': 'replaces its small files as other parts do' },
  testing: {
    'src/storage/update-log.ts': 'a contract that a suite is about',
    'src/storage/follower-sink.ts': 'a contract that a suite is about',
    'src/backends/base-context-cache.ts': 'a contract that a suite is about',
    'src/followers/backup/snapshot-store.ts': 'a contract that a suite is about',
    'src/subjects/subject-keys.ts': 'a contract that a suite is about',
  },
  remote: {
    'src/cache/check-schemas.ts': 'checks values that it is given, by the rules of the core',
    'src/actors/watch.ts': 'the option checks of watch',
    'src/cache/option-names.ts': 'the option checks of other methods',
    'src/cache/cache-methods.ts':
      'the methods that it shares with the cache, over the reader and the writer of the client',
    'src/engine/durations.ts': 'durations in options',
    'src/engine/log-range.ts': 'the option checks of readLog',
    'src/engine/outcome.ts': 'promises that need not be awaited',
    'src/past/difference-options.ts': 'the option checks of diff',
  },
  index: {
    'src/cluster/jetstream/open-jetstream.ts': 'the entry for clusters, which no other entry loads',
    'src/cluster/jetstream/stream-status.ts': 'the entry for clusters, which no other entry loads',
    'src/cluster/open/refound.ts': 'the entry for clusters, which no other entry loads',
    'src/serve/cache-server.ts': 'the entry for servers, which is a use of the public surface',
    'src/serve/mcp-route.ts': 'the entry for servers, which is a use of the public surface',
    'src/serve/server-options.ts': 'the entry for servers, which is a use of the public surface',
    'src/integrations/ai-sdk-chats.ts': 'the entry for the AI SDK, which is a use of the public surface',
    'src/integrations/ai-sdk-middleware.ts': 'the entry for the AI SDK, which is a use of the public surface',
    'src/integrations/ai-sdk-streams.ts': 'the entry for the AI SDK, which is a use of the public surface',
    'src/integrations/keyv.ts': 'the entry for Keyv, which is a use of the public surface',
    'src/integrations/mcp.ts': 'the entry for MCP, which is a use of the public surface',
    'src/integrations/mcp-http.ts': 'the entry for MCP, which is a use of the public surface',
    'src/integrations/mcp-options.ts': 'the entry for MCP, which is a use of the public surface',
    'src/integrations/mcp-stdio.ts': 'the entry for MCP, which is a use of the public surface',
    'src/integrations/unstorage.ts': 'the entry for unstorage, which is a use of the public surface',
    'src/integrations/langgraph-saver.ts': 'the entry for LangGraph, which is a use of the public surface',
    'src/integrations/langgraph-store.ts': 'the entry for LangGraph, which is a use of the public surface',
    'src/integrations/openai-agents.ts': 'the entry for the OpenAI Agents SDK, which is a use of the public surface',
    'src/integrations/langchain.ts': 'the entry for LangChain, which is a use of the public surface',
    'src/integrations/opentelemetry.ts': 'the entry for OpenTelemetry, which is a use of the public surface',
  },
  integrations: {
    'src/core/options.ts': 'checks the names of options as the library does',
    'src/core/origin.ts': "checks an agent's name as the library does",
    'src/core/read-set.ts': 'remembers readings within bounds, as a handle does',
  },
  serve: {
    'src/integrations/mcp-options.ts': 'the option checks of the MCP server, before anything starts',
    'src/cache/attempt.ts': 'executes streams of commands without a promise for each',
    'src/cache/start-inspector.ts': 'starts an inspector for another program of this user',
  },
  share: {
    'src/storage/disk/lock.ts': 'a lock that ends with the process, as that of the log',
    'src/engine/durations.ts': 'durations in options',
    'src/engine/option-names.ts': 'the option checks of open',
  },
  cli: {
    'src/engine/restore.ts': 'knows a data directory as opening and restoring do',
    'src/core/nearest.ts': 'suggests the nearest name, as the option checks of the library do',
    'src/core/deadline.ts': 'waits as the library does',
  },
};

/** Returns the layer of a file; `undefined` if no layer covers its folder. */
export function layerOf(path: string): Layer | undefined {
  if (path.startsWith('machines/')) return 'machines';
  if (!path.startsWith('src/')) return undefined;
  const folders = path.split('/').slice(1, -1);
  if (folders.length === 0) return 'index';
  for (let depth = folders.length; depth > 0; depth -= 1) {
    const folder = folders.slice(0, depth).join('/');
    if (folder !== 'index' && Object.hasOwn(MAY_IMPORT, folder)) return folder as Layer;
  }
  return undefined;
}

/** Returns whether a path lies in this project. */
export const isOurs = (target: string) => target.startsWith('src/') || target.startsWith('machines/');

/** Reports imports that do not point down the table of layers. */
export function layers(sources: Sources): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    const from = layerOf(path);
    if (from === undefined) return [`${path} is in a folder that has no layer`];
    const forbidden = importsOf(path, text).filter((each) => isOurs(each.target) && !mayImport(from, each));
    return forbidden.map(
      ({ target, kind }) => `${path} imports ${target} (${kind}), which its layer "${from}" must not`,
    );
  });
}

function mayImport(from: Layer, { target, kind }: Import): boolean {
  const to = layerOf(target);
  if (to === from || Object.hasOwn(FILES[from] ?? {}, target)) return true;
  if (to === undefined) return false;
  const allowed = MAY_IMPORT[from];
  if (allowed.includes(to)) return true;
  if (kind === 'static') return false;
  return allowed.includes(`lazy ${to}`) || (kind === 'type' && allowed.includes(`type ${to}`));
}
