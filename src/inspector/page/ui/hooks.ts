import { useEffect, useState } from 'preact/hooks';
import { clock } from '../clock.ts';

/** The value once it has been the same for `ms`: so that not every key pressed is a question. */
export function useSettled<Value>(value: Value, ms = 200): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => clock.after(ms, () => setSettled(value)), [value, ms]);
  return settled;
}

/** The time, told anew every `ms`. */
export function useNow(ms = 1_000): number {
  const [now, setNow] = useState(clock.now());
  useEffect(() => clock.every(ms, () => setNow(clock.now())), [ms]);
  return now;
}

/** Calls `work` every `ms` while the view is there. */
export function useEvery(ms: number, work: () => void): void {
  useEffect(() => clock.every(ms, work), [ms, work]);
}
