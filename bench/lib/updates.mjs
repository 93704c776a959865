import { createUpdate, encodeFrame, writeUpdate } from './ours.mjs';

/** Returns the update of a `set`, as it is in the log. */
export function updateOf(i, namespace, key, value) {
  const update = createUpdate({
    namespace,
    version: i + 1,
    operation: 'set',
    key,
    value,
    at: 1_795_395_305_709 + i,
    bytes: 64,
  });
  update.position = i + 1;
  return update;
}

/** Returns consecutive updates as the log writes them together. */
export function frameOf(updates) {
  return encodeFrame({ position: updates[0].position, flags: 0, synced: 0, count: updates.length }, (to) => {
    for (const update of updates) writeUpdate(to, update);
  });
}

/** Returns the bytes per update in the log when this many are written together. */
export function bytesInLog(updates) {
  return Math.ceil(frameOf(updates).length / updates.length);
}
