import { crc32 } from 'node:zlib';
import { decode } from '../../../../core/encoding/codec.ts';
import { MessageWriter } from '../../../../core/encoding/message-writer.ts';
import { ContextCacheError } from '../../../../core/errors.ts';

const CHECKSUM_BYTES = 4;

const writer = new MessageWriter();

/** Encodes a record: CRC-32 of the rest (little-endian), then the content as MessagePack. */
export function seal(content: unknown): Uint8Array {
  return sealWritten((to) => to.value(content));
}

/** Encodes a record whose content `write` writes as one value. `write` must not seal another record meanwhile. */
export function sealWritten(write: (to: MessageWriter) => void): Uint8Array {
  writer.begin(CHECKSUM_BYTES);
  write(writer);
  const bytes = writer.end();
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKSUM_BYTES)), 0);
  return bytes;
}

/** Returns the checksum that a record contains. */
export function checksumOf(record: Uint8Array): number {
  return new DataView(record.buffer, record.byteOffset, record.byteLength).getUint32(0, true);
}

/**
 * Decodes what {@link seal} has encoded. `what` names the record for messages.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the bytes are not as they were written.
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

/** Creates the error for damage of the index, which is then rebuilt. */
export function corrupt(problem: string, cause?: unknown): ContextCacheError {
  const options = cause === undefined ? undefined : { cause };
  return new ContextCacheError('LOG_CORRUPT', `${problem}. The index is derived from the log and is rebuilt.`, options);
}
