import { crc32 } from 'node:zlib';
import { EncodedValue } from '../../../core/encoding/entry-codec.ts';
import { MessageReader } from '../../../core/encoding/message-reader.ts';
import { corrupt } from '../corrupt.ts';
import { FRAME_HEADER, type Frame } from './frame.ts';
import type { LocatedUpdate } from './logged-update.ts';
import { DROP, OPERATION_OF_CODE } from './update-record.ts';

const reader = new MessageReader();

/** Number of fields of an update. */
const FIELDS = 10;

/**
 * Adds the updates of a frame from position `from` to `to` to `into`. Values are not decoded: most of them are replaced by
 * later ones before anything reads them.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming the position.
 */
export function readLocated(frame: Frame, from: number, to: number, into: LocatedUpdate[]): void {
  const { payload, position, count, offset } = frame;
  try {
    reader.begin(payload);
    for (let index = 0; index < count; index += 1) {
      const start = reader.at;
      const update = readUpdate(payload, position + index, offset + FRAME_HEADER + start);
      if (update.position >= from && update.position <= to) into.push(update);
    }
    if (reader.at !== payload.length) throw new RangeError('There are more bytes than updates');
  } catch (cause) {
    throw corrupt(`The updates at position ${position} of the log cannot be decoded`, cause);
  }
}

function readUpdate(payload: Buffer, position: number, offset: number): LocatedUpdate {
  const start = reader.at;
  if (reader.array() !== FIELDS) throw new RangeError('An update has an unexpected number of fields');
  const namespace = reader.text();
  const version = reader.number();
  const code = reader.number();
  const key = reader.textOrNull();
  const valueStart = reader.at;
  reader.skip();
  const value = new EncodedValue(payload, valueStart, reader.at).asValue;
  const at = reader.number();
  const agent = reader.textOrNull();
  const expiresAt = reader.numberOrNull();
  const replaced = reader.number();
  const bytes = reader.number();
  const operation = OPERATION_OF_CODE[code];
  if (operation === undefined) throw new RangeError('An update has an unknown operation');
  // Spreading parts of it would take longer than everything else.
  return {
    position,
    namespace,
    version,
    operation,
    key,
    value,
    at,
    agent,
    expiresAt,
    replaced,
    drop: code === DROP,
    bytes,
    offset,
    length: reader.at - start,
    checksum: checksumOf(payload, start, reader.at),
  };
}

/** Up to this many bytes a checksum computed here takes less time than a call of zlib. */
const SHORT = 256;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** Returns the CRC-32 of a part of bytes. */
function checksumOf(bytes: Buffer, start: number, end: number): number {
  if (end - start > SHORT) return crc32(bytes.subarray(start, end));
  let crc = -1;
  for (let i = start; i < end; i += 1) crc = (TABLE[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ -1) >>> 0;
}
