import type { TracedLink, TracedWrite } from '../../core/trace.ts';
import type { TraceDetail, TraceNode } from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';

/** Returns what the last write of an entry was based on, and what was based on it, as one graph. */
export async function traceOf(
  cache: Pick<Inspectable, 'provenance' | 'impact'>,
  namespace: string,
  key: string,
  limit: number,
): Promise<TraceDetail> {
  const causes = await cache.provenance(key, namespace, { limit });
  const start = causes?.writes[0]?.position;
  if (causes === undefined || start === undefined) return { writes: [], links: [], open: 0, more: false };
  const effects = await cache.impact(start, { limit });
  const writes = [
    ...causes.writes.map((write) => nodeOf(write, -write.depth, true)),
    ...effects.writes.slice(1).map((write) => nodeOf(write, write.depth, write.certain)),
  ];
  return {
    writes: writes.sort((a, b) => a.column - b.column || a.position - b.position),
    links: distinct([...causes.links, ...effects.links]),
    open: causes.open.length,
    more: causes.more || effects.more,
  };
}

function nodeOf(write: TracedWrite, depth: number, certain: boolean): TraceNode {
  const { position, namespace, key, operation, at, agent, retraction, stale } = write;
  const column = depth === 0 ? 0 : depth;
  const retracts = retraction?.position ?? null;
  return {
    position,
    namespace,
    key,
    operation,
    at,
    agent,
    column,
    certain,
    retracts,
    staleSince: stale?.because ?? null,
  };
}

function distinct(links: readonly TracedLink[]): TracedLink[] {
  return [...new Map(links.map((link) => [`${link.cause} ${link.effect}`, link])).values()];
}
