import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { MaybePromise } from '../../backends/base-context-cache.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';

/**
 * A step between serializing and storing, such as compression or encryption. It is applied to each part and to the
 * manifest on its own, never to a whole snapshot.
 *
 * @example
 * ```ts
 * const transforms = [compress(), encrypt({ key })]; // compressed first, then encrypted
 * ```
 */
export interface SnapshotTransform {
  /** Kept with the snapshot: it is read again with the transforms of these names. Never used for another meaning. */
  readonly name: string;
  /** The bytes as they are stored. */
  encode(bytes: Uint8Array): MaybePromise<Uint8Array>;
  /** The inverse of `encode`; throws where it cannot be undone, as with another key. */
  decode(bytes: Uint8Array): MaybePromise<Uint8Array>;
}

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);

/**
 * Compresses with gzip, off the main thread. Its name is `gzip`; snapshots that were written with it can be read
 * without naming it.
 *
 * @param level 1 (fast) to 9 (small); default 6.
 */
export function compress(level = 6): SnapshotTransform {
  if (!Number.isInteger(level) || level < 1 || level > 9) {
    throw new ContextCacheError('INVALID_OPTION', `The level of compression is an integer from 1 to 9, not ${level}.`);
  }
  return {
    name: 'gzip',
    encode: (bytes) => gzipAsync(bytes, { level }),
    decode: (bytes) => gunzipAsync(bytes),
  };
}

/** The transforms of one cache or program: applies those that are configured, undoes those that a snapshot names. */
export class Transforms {
  /** Names of the configured ones, in the order of writing. */
  readonly names: readonly string[];
  readonly #configured: readonly SnapshotTransform[];

  /** @throws {ContextCacheError} `INVALID_OPTION` where two have the same name. */
  constructor(configured: readonly SnapshotTransform[] = []) {
    this.#configured = configured;
    this.names = configured.map((transform) => transform.name);
    if (new Set(this.names).size < this.names.length) {
      throw new ContextCacheError('INVALID_OPTION', `Transforms need different names, not ${this.names.join(', ')}.`);
    }
  }

  /** Applies the configured ones. */
  async encode(bytes: Uint8Array): Promise<Uint8Array> {
    let encoded = bytes;
    for (const transform of this.#configured) encoded = await transform.encode(encoded);
    return encoded;
  }

  /**
   * Undoes the named ones, last first.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` where one is not configured, or refuses bytes that are known to be
   *   those that were written: it is not the transform they were written with. What the transform itself throws, where
   *   that is a `ContextCacheError`.
   */
  async decode(bytes: Uint8Array, names: readonly string[], what: string): Promise<Uint8Array> {
    let decoded = bytes;
    for (const name of names.toReversed()) {
      const transform = this.#named(name, what);
      try {
        decoded = await transform.decode(decoded);
      } catch (cause) {
        // A transform that knows what is wrong says so itself: another key, or bytes that were altered on purpose.
        if (cause instanceof ContextCacheError)
          throw new ContextCacheError(cause.code, `${what}: ${cause.message}`, { cause });
        const message = `${what} is undamaged, but the transform ${name} cannot undo it: ${toError(cause).message}. Has it the key or settings it was written with?`;
        throw new ContextCacheError('INVALID_OPTION', message, { cause });
      }
    }
    return decoded;
  }

  #named(name: string, what: string): SnapshotTransform {
    const found = this.#configured.find((transform) => transform.name === name);
    if (found !== undefined) return found;
    if (name === 'gzip') return compress();
    throw new ContextCacheError(
      'INVALID_OPTION',
      `${what} was written with the transform ${name}. Pass it in transforms to read it.`,
    );
  }
}
