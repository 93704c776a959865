import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/**
 * Starts a server in a process of its own: `cache` serves a cache in memory; `echo` answers each frame with a short one.
 * Resolves with its address, and `close` to end it.
 */
export async function serveElsewhere(kind) {
  const child = fork(join(import.meta.dirname, 'server-child.mjs'), [kind], { execArgv: [] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const [address] = await once(child, 'message');
  return { ...address, close: kill };
}

/** Bytes of a request and of an answer of `echo`: those of a `set` of a small object, and of its acknowledgement. */
export const REQUEST_BYTES = 120;
export const ANSWER_BYTES = 40;

/** Splits a stream of frames of one size. */
export function framesOf(bytes, onFrame) {
  let held = 0;
  return (chunk) => {
    held += chunk.length;
    for (; held >= bytes; held -= bytes) onFrame();
  };
}

/** Gathers the frames of a turn into one write. */
export function gathered(write) {
  let frames = [];
  return (frame) => {
    frames.push(frame);
    if (frames.length > 1) return;
    queueMicrotask(() => {
      const together = Buffer.concat(frames);
      frames = [];
      write(together);
    });
  };
}
