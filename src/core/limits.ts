import { ContextCacheError } from './errors.ts';
import { MAX_KEY_BYTES } from './names.ts';
import { DEFAULT_VALUE_LIMITS, type ValueLimits } from './value.ts';

/** Bounds of what a cache accepts in a write. They do not apply to reading what is stored already. */
export interface CacheLimits extends ValueLimits {
  /** Largest size of a key that is set: bytes of UTF-8, from 1 to 65,536. Default 8,192. */
  readonly maxKeyBytes: number;
}

/** The default limits of a cache. */
export const DEFAULT_LIMITS: CacheLimits = { ...DEFAULT_VALUE_LIMITS, maxKeyBytes: 8_192 };

/**
 * Returns the limits with their defaults.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function limitsOf(given: { readonly [Name in keyof CacheLimits]?: number | undefined } = {}): CacheLimits {
  const limits = {
    maxDepth: given.maxDepth ?? DEFAULT_LIMITS.maxDepth,
    maxBytes: given.maxBytes ?? DEFAULT_LIMITS.maxBytes,
    maxKeyBytes: given.maxKeyBytes ?? DEFAULT_LIMITS.maxKeyBytes,
  };
  const { maxDepth, maxBytes, maxKeyBytes } = limits;
  need(isCount(maxDepth), 'limits.maxDepth must be an integer from 1 up, or Infinity');
  need(isCount(maxBytes), 'limits.maxBytes must be an integer from 1 up, or Infinity');
  need(
    Number.isSafeInteger(maxKeyBytes) && maxKeyBytes >= 1 && maxKeyBytes <= MAX_KEY_BYTES,
    `limits.maxKeyBytes must be an integer from 1 to ${MAX_KEY_BYTES}`,
  );
  return limits;
}

function isCount(value: unknown): boolean {
  return value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && (value as number) >= 1);
}

function need(holds: boolean, requirement: string): void {
  if (!holds) throw new ContextCacheError('INVALID_OPTION', `${requirement}.`);
}
