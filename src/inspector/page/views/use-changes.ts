import { useEffect, useState } from 'preact/hooks';
import { clock } from '../clock.ts';
import { subscribe } from '../live.ts';

/** However fast an entry changes, it is not looked at more often. */
const REST_MS = 300;

/** Goes up when the entry has changed, while `on`. A name with a `*` hears of others too, which does no harm. */
export function useChanges(namespace: string, key: string, on: boolean): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    if (!on) return;
    let rest: (() => void) | undefined;
    const stop = subscribe({ feed: 'updates', filter: { namespace }, limit: 500 }, ({ rows, sampledAway }) => {
      const isMeant = sampledAway > 0 || rows.some((row) => row.key === null || row.key === key);
      if (!isMeant || rest !== undefined) return;
      rest = clock.after(REST_MS, () => {
        rest = undefined;
        setChanges((before) => before + 1);
      });
    });
    return () => {
      stop();
      rest?.();
    };
  }, [namespace, key, on]);
  return changes;
}
