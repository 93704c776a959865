import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { MaybePromise } from '../../backends/base-context-cache.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';

/**
 * A step between encoding and storing, such as compression or encryption. It is applied to each part and to the manifest
 * separately, never to a whole snapshot.
 *
 * @example
 * ```ts
 * const transforms = [compress(), encrypt({ key })]; // compressed first, then encrypted
 * ```
 */
export interface SnapshotTransform {
  /** Stored with the snapshot, which is read with the transforms of these names. Never reuse a name for another meaning. */
  readonly name: string;
  /** Returns the bytes to store. */
  encode(bytes: Uint8Array): MaybePromise<Uint8Array>;
  /** Reverses `encode`. Throws if it cannot, as with another key. */
  decode(bytes: Uint8Array): MaybePromise<Uint8Array>;
}

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);

/**
 * Returns a transform named `gzip`, which compresses off the main thread. Snapshots that were written with it are read
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

/** The transforms of one cache: applies the configured ones, and reverses those that a snapshot names. */
export class Transforms {
  /** Names of the configured transforms, in the order of writing. */
  readonly names: readonly string[];
  readonly #configured: readonly SnapshotTransform[];

  /** @throws {ContextCacheError} `INVALID_OPTION` if two have the same name. */
  constructor(configured: readonly SnapshotTransform[] = []) {
    this.#configured = configured;
    this.names = configured.map((transform) => transform.name);
    if (new Set(this.names).size < this.names.length) {
      throw new ContextCacheError('INVALID_OPTION', `Transforms need different names, not ${this.names.join(', ')}.`);
    }
  }

  /** Applies the configured transforms. */
  async encode(bytes: Uint8Array): Promise<Uint8Array> {
    let encoded = bytes;
    for (const transform of this.#configured) encoded = await transform.encode(encoded);
    return encoded;
  }

  /**
   * Reverses the named transforms, last one first.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if one is not configured, or refuses bytes whose checksum is right and so
   *   is not the transform that wrote them. A `ContextCacheError` of the transform itself.
   */
  async decode(bytes: Uint8Array, names: readonly string[], what: string): Promise<Uint8Array> {
    let decoded = bytes;
    for (const name of names.toReversed()) {
      const transform = this.#named(name, what);
      try {
        decoded = await transform.decode(decoded);
      } catch (cause) {
        // A transform may know the cause itself: another key, or bytes that were altered on purpose.
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
