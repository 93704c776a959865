import { type AgentContextCache, ContextCacheError, type ContextStore, MergeConflictError } from '../index.ts';
import type { Call, Tool } from './mcp-tools.ts';

/** Most branches of a cache at a time. */
const MAX_BRANCHES = 16;

/** The branches of each cache by name. All clients of a cache share them. */
const BRANCHES = new WeakMap<ContextStore, Map<string, AgentContextCache>>();

/**
 * Returns a branch of a cache, or the cache itself without a name.
 *
 * @throws {ContextCacheError} `NOT_FOUND`.
 */
export function branchOf(cache: ContextStore, name: string | undefined): ContextStore {
  return name === undefined ? cache : named(cache, name);
}

function named(cache: ContextStore, name = ''): AgentContextCache {
  const branches = BRANCHES.get(cache);
  const branch = branches?.get(name);
  if (branch !== undefined) return branch;
  const there =
    branches === undefined || branches.size === 0 ? 'There is none' : `There are ${[...branches.keys()].join(', ')}`;
  throw new ContextCacheError(
    'NOT_FOUND',
    `There is no branch ${JSON.stringify(name)}. ${there}; create one with fork.`,
  );
}

async function forget(cache: ContextStore, name: string): Promise<void> {
  const branch = named(cache, name);
  BRANCHES.get(cache)?.delete(name);
  await branch.shutdown();
}

/** The tools for branches by name. `call.cache` is the cache itself, whatever the branch. */
export const BRANCH_TOOLS = {
  fork: {
    title: 'Fork the memory',
    description:
      'Creates a branch of the whole memory, now or at an earlier position, in which things can be tried. Pass its name as "branch" to the other tools. Then merge or discard it.',
    ...{ required: ['branch'], optional: ['at'], effect: 'add', isIdempotent: false },
    async run({ cache, args: { branch: name = '', at } }: Call) {
      const branches = BRANCHES.get(cache) ?? new Map<string, AgentContextCache>();
      if (branches.has(name))
        throw new ContextCacheError(
          'INVALID_OPTION',
          `There is a branch ${JSON.stringify(name)}. Choose another name.`,
        );
      if (branches.size >= MAX_BRANCHES)
        throw new ContextCacheError('OVERLOADED', `There are ${MAX_BRANCHES} branches. Merge or discard one.`);
      BRANCHES.set(cache, branches);
      const branch = await (cache as AgentContextCache).fork({ at });
      // Another call may have come between.
      if (branches.has(name) || branches.size >= MAX_BRANCHES) {
        await branch.shutdown();
        throw new ContextCacheError('OVERLOADED', 'Another branch was created meanwhile. Call fork again.');
      }
      branches.set(name, branch);
      return { branch: name, position: branch.position };
    },
  },
  merge: {
    title: 'Merge a branch',
    description: 'Applies the changes of a branch to the shared memory, all at once, and discards the branch.',
    ...{ required: ['branch'], optional: ['onConflict'], effect: 'write', isIdempotent: false },
    async run({ cache, args: { branch: name = '', onConflict }, agent }: Call) {
      const report = await (cache as AgentContextCache).merge(named(cache, name), { onConflict, agent }).catch(explain);
      await forget(cache, name);
      const { updates, namespaces, position, conflicts } = report;
      return { updates, namespaces, position, conflicts: conflicts.map(({ namespace, key }) => ({ namespace, key })) };
    },
  },
  discard: {
    title: 'Discard a branch',
    description: 'Discards a branch with everything that was written in it. The shared memory stays as it is.',
    ...{ required: ['branch'], optional: [], effect: 'write', isIdempotent: false },
    async run({ cache, args: { branch: name = '' } }: Call) {
      await forget(cache, name);
      return { branch: name };
    },
  },
} as const satisfies { readonly [name: string]: Tool };

/** Names the keys of a conflict in its message, because that is all that a model sees. */
function explain(error: unknown): never {
  if (!(error instanceof MergeConflictError)) throw error;
  const keys = error.conflicts.slice(0, 20).map(({ namespace, key }) => `${namespace}/${key}`);
  const more = error.conflicts.length > keys.length ? `, and ${error.conflicts.length - keys.length} more` : '';
  const message = `Both sides changed ${keys.join(', ')}${more}; nothing was merged. Call merge with onConflict "ours" or "theirs".`;
  throw new ContextCacheError('MERGE_CONFLICT', message, { cause: error });
}
