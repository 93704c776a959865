import { createUpdate, encodeBlocks } from './ours.mjs';

/** The update that a `set` makes, as it lies in the log. */
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

/** How many bytes an update takes in the log where so many are written together. */
export function bytesInLog(updates) {
  let bytes = 0;
  for (const block of encodeBlocks(updates)) bytes += block.bytes.length + block.key.length;
  return Math.ceil(bytes / updates.length);
}
