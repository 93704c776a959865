import { createUpdate, encodeBlocks } from './ours.mjs';

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

/** Returns the bytes per update in the log when this many are written together. */
export function bytesInLog(updates) {
  let bytes = 0;
  for (const block of encodeBlocks(updates)) bytes += block.bytes.length + block.key.length;
  return Math.ceil(bytes / updates.length);
}
