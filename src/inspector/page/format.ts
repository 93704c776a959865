const counts = new Intl.NumberFormat('en-US');
const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const calendar = new Intl.DateTimeFormat('en-GB', { year: 'numeric', month: 'short', day: '2-digit' });

/** A key as text. The empty key is shown as `""`. */
export const keyText = (key: string): string => (key === '' ? '""' : key);

/** `1,234,567`. */
export const count = (number: number): string => counts.format(number);

/** Three significant digits: `0.42`, `12.3`, `4.1k`, `2.35M`. */
export function short(number: number): string {
  const size = Math.abs(number);
  if (size >= 1e9) return `${digits(number / 1e9)}G`;
  if (size >= 1e6) return `${digits(number / 1e6)}M`;
  if (size >= 1e4) return `${digits(number / 1e3)}k`;
  return digits(number);
}

function digits(number: number): string {
  const size = Math.abs(number);
  if (Number.isInteger(number) || size >= 100) return counts.format(Math.round(number));
  return size >= 10 ? number.toFixed(1) : number.toFixed(2);
}

/** `812 B`, `1.4 KiB`, `23 MiB`. */
export function bytes(number: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = number < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(number) / 10));
  const value = number / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** A duration in milliseconds: `350 µs`, `4.2 ms`, `3.1 s`, `2 min 5 s`, `3 h 20 min`, `5 d`. */
export function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return long(Math.round(seconds));
}

function long(seconds: number): string {
  if (seconds < 3600) return pair(seconds, 60, 'min', 1, 's');
  if (seconds < 86_400) return pair(seconds, 3600, 'h', 60, 'min');
  return pair(seconds, 86_400, 'd', 3600, 'h');
}

function pair(seconds: number, major: number, majorName: string, minor: number, minorName: string): string {
  const rest = Math.floor((seconds % major) / minor);
  return `${Math.floor(seconds / major)} ${majorName}${rest === 0 ? '' : ` ${rest} ${minorName}`}`;
}

/** Time since an instant: `just now`, `12 s ago`, `3 h 5 min ago`. */
export function ago(at: number, now: number): string {
  const ms = now - at;
  return ms < 1500 ? 'just now' : `${duration(ms)} ago`;
}

/** Time until an instant: `in 5 min`, `expired`. */
export function until(at: number, now: number): string {
  return at <= now ? 'expired' : `in ${duration(at - now)}`;
}

/** `14:03:07`. */
export const time = (at: number): string => clockTime.format(at);

/** `14:03:07.123`. */
export const preciseTime = (at: number): string => `${time(at)}.${String(Math.floor(at) % 1000).padStart(3, '0')}`;

/** `31 Jan 2026, 14:03:07`. */
export const dateTime = (at: number): string => `${calendar.format(at)}, ${time(at)}`;

/** `1 update`, `2 updates`. */
export const plural = (number: number, one: string, many = `${one}s`): string =>
  `${count(number)} ${number === 1 ? one : many}`;

/** What an update is about: its key, all keys, or the number of keys that it removed. */
export function keysText({ key, cleared }: { readonly key: string | null; readonly cleared: number | null }): string {
  if (key !== null) return keyText(key);
  return cleared === null ? 'all keys' : plural(cleared, 'key');
}
