/**
 * The logs that a position may belong to: the log itself, without a bound, then the logs that it was forked from,
 * nearest first, each up to position `until`.
 */
export type Lineage = readonly { readonly log: string; readonly until: number }[];

/** Returns the lineage of a log with the given ancestors (default: none). */
export function lineageOf(log: string, ancestors: Lineage = []): Lineage {
  return [{ log, until: Number.POSITIVE_INFINITY }, ...ancestors];
}

/** Returns the ancestors of a log that is forked from `parent` at a position. */
export function ancestorsAt(position: number, parent: Lineage): Lineage {
  return parent.map(({ log, until }) => ({ log, until: Math.min(until, position) }));
}

/** Returns the last position that means the same in both lineages, or `undefined` if they have no log in common. */
export function sharedPosition(a: Lineage, b: Lineage): number | undefined {
  let shared: number | undefined;
  for (const { log, until } of a) {
    const same = b.find((each) => each.log === log);
    if (same !== undefined) shared = Math.max(shared ?? 0, Math.min(until, same.until));
  }
  return shared;
}
