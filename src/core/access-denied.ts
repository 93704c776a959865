import { ContextCacheError } from './errors.ts';
import { escapePattern } from './name-pattern.ts';

/** A right that a grant gives: to read, to write, or to use the commands about the cache itself. */
export type GrantAction = 'read' | 'write' | 'admin';

/** What was refused: an agent, the right that it lacks, and what it tried. */
export interface Denied {
  readonly agent: string;
  readonly action: GrantAction;
  /** The namespace that it tried to read or write; absent for the action `admin`, and if several are concerned. */
  readonly namespace?: string | undefined;
  /** The key, if it tried one. */
  readonly key?: string | undefined;
  /** The command or method, for the action `admin` and for what concerns several namespaces, such as `topics.set`. */
  readonly command?: string | undefined;
  /** Another agent, under whose name it tried to write. */
  readonly as?: string | undefined;
}

/**
 * An agent has no grant for what it tried. Nothing has changed.
 *
 * @example
 * ```ts
 * try { await cache.as({ agent: 'searcher' }).set('plan', [], 'trip'); } catch (error) {
 *   if (error instanceof AccessDeniedError) console.error(error.agent, error.action, error.pattern);
 * }
 * ```
 */
export class AccessDeniedError extends ContextCacheError implements Denied {
  readonly agent: string;
  readonly action: GrantAction;
  readonly namespace: string | undefined;
  readonly key: string | undefined;
  readonly command: string | undefined;
  readonly as: string | undefined;
  /** The narrowest pattern of namespaces that a grant for it would have; `undefined` for the action `admin`. */
  readonly pattern: string | undefined;

  constructor({ agent, action, namespace, key, command, as }: Denied) {
    const pattern = namespace === undefined ? undefined : escapePattern(namespace);
    super('ACCESS_DENIED', messageOf({ agent, action, namespace, key, command, as }, pattern));
    this.name = 'AccessDeniedError';
    this.agent = agent;
    this.action = action;
    this.namespace = namespace;
    this.key = key;
    this.command = command;
    this.as = as;
    this.pattern = pattern;
  }
}

function messageOf({ agent, action, namespace, key, command, as }: Denied, pattern: string | undefined): string {
  const who = `Agent ${JSON.stringify(agent)}`;
  if (as !== undefined) {
    const remedy = `Leave out the agent of the write, or use a handle of ${JSON.stringify(as)}`;
    return `${who} may not write as ${JSON.stringify(as)}. ${remedy}.`;
  }
  if (action === 'admin') return `${who} may not use ${command ?? 'this command'}. Its grant needs admin: true.`;
  if (namespace === undefined || pattern === undefined) {
    return `${who} may not ${action} all that ${command ?? 'this command'} is about. Its grant needs ${action} for it.`;
  }
  const what = key === undefined ? 'namespace' : `key ${JSON.stringify(key)} of namespace`;
  const remedy = `Its grant needs ${action}: [${JSON.stringify(pattern)}] or a wider pattern`;
  return `${who} may not ${action} ${what} ${JSON.stringify(namespace)}. ${remedy}.`;
}
