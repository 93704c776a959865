import type { ContextCacheError, InvalidValueError } from './errors.ts';
import { invalidCommand } from './invalid-command.ts';
import { type JsonValue, ThoroughWalk, type ValueLimits } from './value.ts';

/** Small JSON that a writer attaches to a write: a reason, a task, a trace context. */
export interface Meta {
  readonly [name: string]: JsonValue;
}

/** Largest size of `meta`, in bytes of JSON text. */
export const MAX_META_BYTES = 1024;

/** Bounds of the walk. It estimates at most 4.5 times the bytes of the text: 9 for a number in an array, as in `1,`. */
const LIMITS: ValueLimits = { maxDepth: 256, maxBytes: 8 * MAX_META_BYTES };

/**
 * Checks `meta` and returns a frozen copy.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function admitMeta(meta: unknown): Meta {
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta))
    throw invalidCommand('meta must be a JSON object');
  const walk = new ThoroughWalk(LIMITS);
  let admitted: JsonValue;
  try {
    admitted = walk.run(meta);
  } catch (error) {
    if (walk.bytes > LIMITS.maxBytes) throw tooLarge();
    throw invalidCommand(`meta must be a JSON object. ${(error as InvalidValueError).message.replace(/\.$/, '')}`);
  }
  if (Buffer.byteLength(JSON.stringify(admitted)) > MAX_META_BYTES) throw tooLarge();
  return admitted as Meta;
}

function tooLarge(): ContextCacheError {
  return invalidCommand(`meta may have at most ${MAX_META_BYTES} bytes as JSON text. Store more as a value`);
}
