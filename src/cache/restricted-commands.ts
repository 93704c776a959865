import { isDataCommand, isQueryCommand, parseCommand } from '../core/admission.ts';
import type { ContextCommand } from '../core/command.ts';
import { plainContradictions } from '../core/contradiction.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import type { RetractReport } from '../core/retract-options.ts';
import type { Impact, Provenance, TracedWrite } from '../core/trace.ts';
import type { Access } from '../engine/access.ts';
import type { CacheHealth } from '../engine/health.ts';
import { answerQuery, type QueryDeps } from './control.ts';
import type { MethodParts } from './method-parts.ts';
import type { RestrictedWrites } from './restricted-writes.ts';

/** Commands about the cache itself that every agent may use. */
const HARMLESS: ReadonlySet<string> = new Set<ContextCommand['type']>([
  ...(['cache.flush', 'cache.barrier', 'cache.reached', 'cache.health'] as const),
]);

/** The parts of {@link restrictedAsk}. `parts` are those of the owner. */
export interface RestrictedAsk {
  readonly parts: MethodParts;
  readonly restricted: Pick<MethodParts, 'reader' | 'changes' | 'readWith' | 'entryWith'>;
  readonly writes: RestrictedWrites;
  readonly access: Access;
  readonly agent: string;
}

/**
 * Executes a command for an agent. A command that changes or reads data is judged by what it is about. Any other needs
 * `admin: true`, so that a new one is closed until it is listed as harmless.
 */
export async function restrictedAsk(given: RestrictedAsk, candidate: ContextCommand): Promise<unknown> {
  const { parts, restricted, writes, access, agent } = given;
  const command = parseCommand(candidate);
  if (!access.isOn) return parts.ask(command);
  if (isDataCommand(command) || command.type === 'context.transaction') {
    const named = writes.named(command);
    return writes.run(named, () => parts.ask(named));
  }
  if (command.type === 'context.retract') {
    const named = { ...command, agent: command.agent ?? agent };
    return shownReport(access, agent, await writes.run(named, () => parts.ask(named)));
  }
  if (isQueryCommand(command)) {
    const { reader, changes, readWith, entryWith } = restricted;
    return answerQuery(
      { reader, readWith, entryWith, changes: { read: changes }, trace: restrictedTrace(given) },
      command,
    );
  }
  if (!HARMLESS.has(command.type)) access.requireAdmin(agent, command.type);
  const answer = await parts.ask(command);
  return command.type === 'cache.health' ? restrictedHealth(access, agent, answer as CacheHealth) : answer;
}

/** Hides who has written what the agent may not read. It may write all of it, or the retraction was refused. */
function shownReport(access: Access, agent: string, report: RetractReport): RetractReport {
  const conflicts = report.conflicts.map((conflict) => {
    const { retraction: _, ...rest } = conflict;
    return access.may(agent, 'read', rest.namespace, rest.key) ? conflict : { ...rest, agent: null };
  });
  return { ...report, conflicts };
}

/** Leaves out writes of what the agent may not read, and the links to them. */
function restrictedTrace({ parts, access, agent }: RestrictedAsk): QueryDeps['trace'] {
  const mayRead = ({ namespace, key }: TracedWrite) =>
    key === null ? access.maySome(agent, 'read', namespace) : access.may(agent, 'read', namespace, key);
  const shown = <Traced extends Provenance | Impact>(traced: Traced): Traced => {
    const writes = (traced.writes as readonly TracedWrite[]).filter(mayRead);
    const positions = new Set(writes.map(({ position }) => position));
    const links = traced.links.filter(({ cause, effect }) => positions.has(cause) && positions.has(effect));
    return { ...traced, writes, links };
  };
  return {
    provenance: async (key, namespace, options) => {
      access.require(agent, 'read', namespace, key);
      const { at, limit } = options;
      const traced = await parts.ask({ type: 'context.provenance', key, namespace, at, limit });
      if (traced === undefined) return undefined;
      const seen = shown(traced);
      const positions = new Set(seen.writes.map(({ position }) => position));
      const open = seen.open.filter(
        ({ position, reading }) => positions.has(position) && access.visibleBasis(agent, [reading]).length > 0,
      );
      return { ...seen, open };
    },
    impact: async (target, { limit }) => {
      if (typeof target === 'object') access.require(agent, 'read', target.namespace ?? DEFAULT_NAMESPACE, target.key);
      const about = typeof target === 'object' ? target : { position: target };
      const traced = await parts.ask({ ...about, type: 'context.impact', limit });
      const [first] = traced.writes;
      // By a position, an agent could ask for the write of any key.
      if (first !== undefined && !mayRead(first)) access.deny({ agent, action: 'read', command: 'impact' });
      const seen = shown(traced);
      const counts = new Map<string | null, number>();
      for (const { agent: by } of seen.writes.slice(1)) counts.set(by, (counts.get(by) ?? 0) + 1);
      const agents = Array.from(counts, ([by, writes]) => ({ agent: by, writes })).sort((a, b) => b.writes - a.writes);
      return { ...seen, agents };
    },
    contradictions: async (options) => {
      const { namespace: only, since, limit } = plainContradictions(options);
      if (only !== undefined) access.requireSome(agent, 'read', only);
      const page = await parts.ask({ type: 'context.contradictions', namespace: only, since, limit });
      const contradictions = page.contradictions.filter(({ namespace, key }) =>
        access.may(agent, 'read', namespace, key),
      );
      return { ...page, contradictions };
    },
  };
}

/**
 * Returns the health of a cache without names and addresses that are not this agent's business. Names every field, so that a new
 * one is closed until it is opened here.
 */
export function restrictedHealth(access: Access, agent: string, health: CacheHealth): CacheHealth {
  if (access.isAdmin(agent)) return health;
  const { status, log, retention, namespaces, watchers, errors, activity } = health;
  return {
    status,
    log: {
      ...{ id: log.id, durable: log.durable, status: log.status },
      ...{ head: log.head, committed: log.committed, first: log.first },
    },
    retention: { begin: retention.begin, heldBy: undefined, running: retention.running, lastError: undefined },
    namespaces: {
      ...{ total: namespaces.total, resident: namespaces.resident, restarts: namespaces.restarts },
      failed: namespaces.failed.filter((name) => access.maySome(agent, 'read', name)),
    },
    ...{ followers: [], redis: undefined, nats: undefined, topics: [], backup: undefined, cluster: undefined },
    watchers,
    errors: { count: errors.count, last: undefined },
    access: access.health(agent),
    activity: {
      ...{ since: activity.since, operations: activity.operations, failures: activity.failures },
      ...{ hits: activity.hits, misses: activity.misses, conflicts: activity.conflicts },
      ...{ expiries: activity.expiries, bytesWritten: activity.bytesWritten },
    },
  };
}
