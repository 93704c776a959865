import type { ContradictionDetail, Paged } from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Presenter } from './presenter.ts';
import type { UpdatePages } from './update-pages.ts';

/** The parts that {@link contradictionsOf} reads with. */
interface ContradictionParts {
  readonly cache: Pick<Inspectable, 'contradictions'>;
  readonly updates: Pick<UpdatePages, 'find'>;
  readonly presenter: Pick<Presenter, 'row'>;
}

/** Returns a page of contradictions with both updates, in order of the later one. */
export async function contradictionsOf(
  { cache, updates, presenter }: ContradictionParts,
  asked: { readonly namespace: string | undefined; readonly since: number; readonly limit: number },
): Promise<Paged<ContradictionDetail>> {
  const { contradictions, next, more } = await cache.contradictions(asked);
  const items: ContradictionDetail[] = [];
  for (const { namespace, key, earlier, later } of contradictions) {
    const [before, after] = [await updates.find(earlier.position), await updates.find(later.position)];
    // Retention may have discarded one meanwhile.
    if (before === undefined || after === undefined) continue;
    items.push({ namespace, key, earlier: presenter.row(before), later: presenter.row(after) });
  }
  return { items, next: more ? String(next) : null };
}
