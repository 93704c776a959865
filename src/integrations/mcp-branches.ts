import { type AgentContextCache, ContextCacheError, type ContextStore, MergeConflictError } from '../index.ts';
import type { Call, Tool } from './mcp-tools.ts';

/** Most branches of a cache at a time. */
const MAX_BRANCHES = 16;
/** Most branches of one agent, if there are grants: others then cannot discard them. */
const MAX_OF_AGENT = 4;

interface Branch {
  readonly cache: AgentContextCache;
  /** Agent that created it; `undefined`: a client without a name. */
  readonly creator: string | undefined;
}

/** The branches of each cache by name. All clients of a cache see them. */
const BRANCHES = new WeakMap<ContextStore, Map<string, Branch>>();

/**
 * Returns a branch of a cache, or the cache itself without a name.
 *
 * @throws {ContextCacheError} `NOT_FOUND`.
 */
export function branchOf(cache: ContextStore, name: string | undefined): ContextStore {
  return name === undefined ? cache : named(cache, name).cache;
}

function named(cache: ContextStore, name = ''): Branch {
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

/**
 * Returns a branch that an agent may merge and discard: it has created it, or has a grant with `admin`. A client without a name is
 * the owner. Without grants every agent may discard it, because agents give themselves their names, and that of one that is gone
 * would stay.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `FORBIDDEN`.
 */
function branchToEnd({ cache, args: { branch: name }, agent }: Call, how: 'merge' | 'discard'): Branch {
  const branch = named(cache, name);
  const { creator } = branch;
  if (agent === undefined || agent === creator) return branch;
  const grants = (cache as AgentContextCache).getGrants();
  const hasGrants = grants.length > 0;
  if (grants.some((grant) => grant.admin === true && (grant.agent === agent || grant.agent === '*'))) return branch;
  if (how === 'discard' && !hasGrants) return branch;
  const by = creator === undefined ? 'a client without a name' : `agent ${JSON.stringify(creator)}`;
  const message = `Branch ${JSON.stringify(name)} was created by ${by}, and agent ${JSON.stringify(agent)} may not ${how} it.`;
  const remedy = hasGrants ? 'or to an agent whose grant has admin: true' : 'or discard it';
  throw new ContextCacheError('FORBIDDEN', `${message} Leave it to the creator, ${remedy}.`);
}

/**
 * Checks that an agent may create a branch.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if the name is taken, `OVERLOADED` if there are too many.
 */
function checkRoom(cache: ContextStore, branches: ReadonlyMap<string, Branch>, name: string, agent?: string): void {
  if (branches.has(name))
    throw new ContextCacheError('INVALID_OPTION', `There is a branch ${JSON.stringify(name)}. Choose another name.`);
  const hasGrants = agent !== undefined && (cache as AgentContextCache).getGrants().length > 0;
  const own = [...branches.keys()].filter((each) => branches.get(each)?.creator === agent);
  if (hasGrants && own.length >= MAX_OF_AGENT)
    throw new ContextCacheError(
      'OVERLOADED',
      `Agent ${JSON.stringify(agent)} has ${MAX_OF_AGENT} branches: ${own.join(', ')}. Merge or discard one.`,
    );
  if (branches.size < MAX_BRANCHES) return;
  const remedy = hasGrants
    ? 'Merge or discard one of your own, or ask an agent whose grant has admin: true to discard one'
    : 'Discard one that is no longer needed';
  const message = `There are ${MAX_BRANCHES} branches: ${[...branches.keys()].join(', ')}. ${remedy}.`;
  throw new ContextCacheError('OVERLOADED', message);
}

/** Ends a branch. Its name may stand for a later one by now, which stays. */
async function end(cache: ContextStore, name: string, branch: Branch): Promise<void> {
  const branches = BRANCHES.get(cache);
  if (branches?.get(name) === branch) branches.delete(name);
  await branch.cache.shutdown();
}

/** The tools for branches by name. `call.cache` is the cache itself, whatever the branch. */
export const BRANCH_TOOLS = {
  fork: {
    title: 'Fork the memory',
    description:
      'Creates a branch of the whole memory, now or at an earlier position, in which things can be tried. Pass its name as "branch" to the other tools. Then merge or discard it.',
    ...{ required: ['branch'], optional: ['at'], effect: 'add', isIdempotent: false },
    async run({ cache, args: { branch: name = '', at }, agent }: Call) {
      const branches = BRANCHES.get(cache) ?? new Map<string, Branch>();
      checkRoom(cache, branches, name, agent);
      BRANCHES.set(cache, branches);
      const branch = await (cache as AgentContextCache).fork({ at });
      try {
        // Another call may have come between.
        checkRoom(cache, branches, name, agent);
      } catch (error) {
        await branch.shutdown();
        throw error;
      }
      branches.set(name, { cache: branch, creator: agent });
      return { branch: name, position: branch.position };
    },
  },
  merge: {
    title: 'Merge a branch',
    description:
      'Applies the changes of a branch that you have created to the shared memory, all at once, and discards the branch.',
    ...{ required: ['branch'], optional: ['onConflict'], effect: 'write', isIdempotent: false },
    async run(call: Call) {
      const { cache, args, agent } = call;
      const { branch: name = '', onConflict } = args;
      const branch = branchToEnd(call, 'merge');
      const report = await (cache as AgentContextCache).merge(branch.cache, { onConflict, agent }).catch(explain);
      await end(cache, name, branch);
      const { updates, namespaces, position, conflicts } = report;
      return { updates, namespaces, position, conflicts: conflicts.map(({ namespace, key }) => ({ namespace, key })) };
    },
  },
  discard: {
    title: 'Discard a branch',
    description:
      'Discards a branch with everything that was written in it. The shared memory stays as it is. Discard the branch of another agent only if that agent is gone.',
    ...{ required: ['branch'], optional: [], effect: 'write', isIdempotent: false },
    async run(call: Call) {
      const { branch: name = '' } = call.args;
      await end(call.cache, name, branchToEnd(call, 'discard'));
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
