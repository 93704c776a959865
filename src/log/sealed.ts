import { crc32 } from 'node:zlib';
import { decode, encode } from '../core/codec.ts';
import { ContextCacheError } from '../core/errors.ts';

const CHECKSUM_BYTES = 4;

/** A stored record: CRC-32 of the rest, little-endian, then the content as MessagePack. */
export function seal(content: unknown): Uint8Array {
  const body = encode(content);
  const bytes = Buffer.allocUnsafe(CHECKSUM_BYTES + body.length);
  bytes.writeUInt32LE(crc32(body), 0);
  body.copy(bytes, CHECKSUM_BYTES);
  return bytes;
}

/**
 * The inverse of {@link seal}. `what` says which record it is.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` where the bytes are not as they were written.
 */
export function unseal(bytes: Uint8Array, what: () => string): unknown {
  const body = bytes.subarray(CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length <= CHECKSUM_BYTES || view.getUint32(0, true) !== crc32(body)) {
    throw corrupt(`${what()} does not match its checksum`);
  }
  try {
    return decode(body);
  } catch (cause) {
    throw corrupt(`${what()} cannot be decoded`, cause);
  }
}

/** What is stored is not what was written. Nothing is repaired or overwritten. */
export function corrupt(problem: string, cause?: unknown): ContextCacheError {
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${problem}. Nothing was changed. Check the disk, keep a copy of the directory, and restore a backup into a new one.`,
    cause === undefined ? undefined : { cause },
  );
}
