/**
 * Whose positions these are: those of the first log without a bound, and up to `until` those of the logs that it was
 * forked from, nearest first.
 */
export type Lineage = readonly { readonly log: string; readonly until: number }[];

/** Of a log that was forked from these (a fork of none: from nothing). */
export function lineageOf(log: string, ancestors: Lineage = []): Lineage {
  return [{ log, until: Number.POSITIVE_INFINITY }, ...ancestors];
}

/** The ancestors of a log that is forked at this position. */
export function ancestorsAt(position: number, parent: Lineage): Lineage {
  return parent.map(({ log, until }) => ({ log, until: Math.min(until, position) }));
}

/** Up to here positions mean the same in both; `undefined` where the two have nothing in common. */
export function sharedPosition(a: Lineage, b: Lineage): number | undefined {
  let shared: number | undefined;
  for (const { log, until } of a) {
    const same = b.find((each) => each.log === log);
    if (same !== undefined) shared = Math.max(shared ?? 0, Math.min(until, same.until));
  }
  return shared;
}
