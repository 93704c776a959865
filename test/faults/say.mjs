import { writeSync } from 'node:fs';

const asleep = new Int32Array(new SharedArrayBuffer(4));

/** Prints a line before anything else happens. A pipe that is full and does not block is tried again. */
export function say(line) {
  let left = Buffer.from(`${line}\n`);
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(1, left));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(asleep, 0, 0, 1);
    }
  }
}
