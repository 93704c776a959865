import { useEffect, useRef, useState } from 'preact/hooks';
import { epoch } from './live.ts';

/** The state of a request. */
export interface Loaded<Value> {
  /** The last answer, also while a newer one is being loaded. */
  readonly value: Value | undefined;
  readonly error: (Error & { readonly code?: string }) | undefined;
  readonly loading: boolean;
  readonly reload: () => void;
}

/**
 * Loads when the view appears, when `keys` or `turn` change, on `reload`, and after each reconnect. A newer request
 * aborts the older one. New `keys` discard the answer at once; a new `turn` keeps it until the next one is there.
 */
export function useLoaded<Value>(
  ask: (signal: AbortSignal) => Promise<Value>,
  keys: readonly unknown[],
  outerTurn = 0,
): Loaded<Value> {
  const [turn, setTurn] = useState(0);
  const [held, setHeld] = useState<{ key: string; value?: Value; error?: Error }>({ key: '' });
  const [loading, setLoading] = useState(true);
  const key = JSON.stringify(keys);
  const connection = epoch.value;
  const asking = useRef(ask);
  asking.current = ask;

  useEffect(() => {
    if (connection === 0) return;
    const giveUp = new AbortController();
    setLoading(true);
    asking
      .current(giveUp.signal)
      .then(
        (value) => giveUp.signal.aborted || setHeld({ key, value }),
        (error: Error) =>
          giveUp.signal.aborted || setHeld((before) => ({ ...(before.key === key ? before : {}), key, error })),
      )
      .finally(() => giveUp.signal.aborted || setLoading(false));
    return () => giveUp.abort();
  }, [key, turn, outerTurn, connection]);

  const isOurs = held.key === key;
  return {
    value: isOurs ? held.value : undefined,
    error: isOurs ? held.error : undefined,
    loading,
    reload: () => setTurn((before) => before + 1),
  };
}
