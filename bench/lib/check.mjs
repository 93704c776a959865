import { isDeepStrictEqual } from 'node:util';

/** Throws for a candidate that has not done the work, so that it gets no result. */
export function check(holds, message) {
  if (!holds) throw new Error(`The work was not done: ${message}`);
}

export function checkSame(found, expected, what) {
  if (isDeepStrictEqual(found, expected)) return;
  const text = (value) => JSON.stringify(value)?.slice(0, 200);
  throw new Error(`The work was not done: ${what} is ${text(found)}, not ${text(expected)}`);
}

/** Returns some of 0 … count-1, evenly spread, including the last. */
export function sample(count, size = 500) {
  const step = Math.max(1, Math.floor(count / size));
  const some = [];
  for (let i = count - 1; i >= 0; i -= step) some.push(i);
  return some;
}
