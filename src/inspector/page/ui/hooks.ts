import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { clock } from '../clock.ts';
import { subscribe } from '../live.ts';

/** The width below which the stylesheets switch to the narrow layout. */
const media = matchMedia('(max-width: 760px)');
const narrow = signal(media.matches);

media.addEventListener('change', () => {
  narrow.value = media.matches;
});

/** Returns whether the page is as narrow as a telephone. */
export const useNarrow = (): boolean => narrow.value;

/** Returns a value once it has not changed for `ms`, so that not every key press sends a request. */
export function useSettled<Value>(value: Value, ms = 200): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => clock.after(ms, () => setSettled(value)), [value, ms]);
  return settled;
}

/** Returns the time, updated every `ms`. */
export function useNow(ms = 1_000): number {
  const [now, setNow] = useState(clock.now());
  useEffect(() => clock.every(ms, () => setNow(clock.now())), [ms]);
  return now;
}

/** Calls `work` every `ms` while the view is mounted. */
export function useEvery(ms: number, work: () => void): void {
  useEffect(() => clock.every(ms, work), [ms, work]);
}

/** Least time between two counts of a changing entry. */
const CHANGE_REST_MS = 300;

/** Counts changes of an entry, or of a namespace, while `on`. A name with a `*` also counts changes of other entries, which is harmless. */
function useChanges(namespace: string, key: string | undefined, on: boolean): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    if (!on) return;
    let rest: (() => void) | undefined;
    const stop = subscribe({ feed: 'updates', filter: { namespace }, limit: 500 }, ({ rows, sampledAway }) => {
      const isMeant = key === undefined || sampledAway > 0 || rows.some((row) => row.key === null || row.key === key);
      if (!isMeant || rest !== undefined) return;
      rest = clock.after(CHANGE_REST_MS, () => {
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

/**
 * Counts what changes an entry as it is shown: its changes while `on`, and forgotten subjects, which change what can be read of any of
 * its versions.
 */
export function useEntryChanges(namespace: string, key: string, on: boolean): number {
  const changes = useChanges(namespace, key, on);
  return changes + useChanges('$forgotten', undefined, true);
}
