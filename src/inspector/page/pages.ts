import { useEffect, useRef, useState } from 'preact/hooks';
import type { Paged } from '../data-protocol.ts';
import { epoch } from './live.ts';

/** A list that is loaded page by page. */
export interface Pages<Item, Page> {
  readonly items: readonly Item[];
  /** The page loaded last. It has the totals. */
  readonly last: Page | undefined;
  readonly error: Error | undefined;
  readonly loading: boolean;
  /** There are more pages. */
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly reload: () => void;
}

interface Held<Item, Page> {
  readonly key: string;
  readonly items: readonly Item[];
  readonly last?: Page;
  readonly error?: Error;
}

type Ask<Page> = (after: string | undefined, signal: AbortSignal) => Promise<Page>;

/**
 * Loads the first page when `keys` change and after a reconnect, and further pages on `more`. A new `turn` loads the
 * first page again and keeps the list until it is there.
 */
export function usePages<Item, Page extends Paged<Item>>(
  ask: Ask<Page>,
  keys: readonly unknown[],
  outerTurn = 0,
): Pages<Item, Page> {
  const key = JSON.stringify(keys);
  const [held, setHeld] = useState<Held<Item, Page>>({ key, items: [] });
  const [turn, setTurn] = useState(0);
  const [loading, setLoading] = useState(true);
  const under = useRef<AbortController | undefined>(undefined);
  const connection = epoch.value;

  const fetchPage = (after: string | undefined) => {
    under.current?.abort();
    const giveUp = new AbortController();
    under.current = giveUp;
    setLoading(true);
    const take = (change: (before: Held<Item, Page>) => Held<Item, Page>) => {
      if (giveUp.signal.aborted) return;
      under.current = undefined;
      setHeld(change);
      setLoading(false);
    };
    ask(after, giveUp.signal).then(
      (page) =>
        take((before) => ({
          key,
          items: after === undefined || before.key !== key ? page.items : [...before.items, ...page.items],
          last: page,
        })),
      (error: Error) => take((before) => ({ ...(before.key === key ? before : { items: [] }), key, error })),
    );
  };

  useEffect(() => {
    if (connection === 0) return;
    fetchPage(undefined);
    return () => under.current?.abort();
  }, [key, turn, outerTurn, connection]);

  const { items, last, error } = held.key === key ? held : { items: [], last: undefined, error: undefined };
  const next = last?.next ?? null;
  return {
    items,
    last,
    error,
    loading,
    hasMore: next !== null,
    more: () => {
      if (next !== null && under.current === undefined && error === undefined) fetchPage(next);
    },
    reload: () => setTurn((before) => before + 1),
  };
}
