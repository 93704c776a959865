import { crc32 } from 'node:zlib';
import { reader } from '../../../core/encoding/codec.ts';
import { EncodedValue } from '../../../core/encoding/entry-codec.ts';
import type { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { readWholeOrigin, writeOrigin } from '../../../core/encoding/origin-codec.ts';
import { createUpdate, OPERATIONS, type Operation, type PendingUpdate, type Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import { corrupt } from '../corrupt.ts';
import { FRAME_HEADER, type Frame } from './frame.ts';
import type { LocatedUpdate, UpdateLocation } from './logged-update.ts';

/** Code of a drop. */
const DROP = 6;
/** Operations by code. The order is part of the format. That with the code of a drop is a `clear_namespace`. */
const OPERATION_OF_CODE: readonly Operation[] = [
  ...OPERATIONS.slice(0, DROP),
  'clear_namespace',
  ...OPERATIONS.slice(DROP),
];
const CODES = new Map<Operation, number>(
  OPERATIONS.map((operation) => [operation, OPERATION_OF_CODE.indexOf(operation)]),
);
/** The value of a `clear` holds its keys. */
const CLEAR = OPERATION_OF_CODE.indexOf('clear');
/** Added to the code of an update that begins a namespace above version 1. */
const BEGINS = 8;

/** Number of fields of an update in the log. */
const FIELDS = 10;

/** The part of a frame that its updates are read from. */
type Records = Pick<Frame, 'payload' | 'position' | 'count'>;

/**
 * Writes an update as an array of its fields, without its position. It is complete in itself, so that it can be read
 * without what is around it.
 */
export function writeUpdate(to: MessageWriter, update: Update): void {
  to.array(FIELDS);
  to.text(update.namespace);
  to.number(update.version);
  to.number((update.drop ? DROP : (CODES.get(update.operation) as number)) + (update.begins === true ? BEGINS : 0));
  to.value(update.key);
  to.value(update.keys ?? update.value);
  to.number(update.at);
  writeOrigin(to, update);
  to.value(update.expiresAt);
  to.number(update.replaced);
  to.number(update.bytes);
}

/**
 * Decodes the updates of a frame from position `from` to `to`.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming the position.
 */
export function updatesOf(frame: Records, from = 0, to = Number.POSITIVE_INFINITY): Update[] {
  const updates: Update[] = [];
  each(frame, from, to, (position) => updates.push(readUpdate(frame.payload, position, true)));
  return updates;
}

/** Decodes the same updates without their values, each of which is an `EncodedValue`. */
export function bareUpdatesOf(frame: Records, from: number, to: number): Update[] {
  const updates: Update[] = [];
  each(frame, from, to, (position) => updates.push(readUpdate(frame.payload, position, false)));
  return updates;
}

/** Decodes the updates of a frame from position `from` to `to`, each with its location. `valued`: also their values. */
export function locatedUpdatesOf(frame: Frame, from: number, to: number, valued = false): LocatedUpdate[] {
  const located: LocatedUpdate[] = [];
  each(frame, from, to, (position) => located.push(readLocated(frame, position, valued)));
  return located;
}

/** Decodes the update at a position from its bytes. */
export function decodeUpdate(payload: Buffer, position: number, { checksum }: UpdateLocation): Update {
  if (crc32(payload) !== checksum)
    throw corrupt(`The update at position ${position} of the log does not match its checksum`);
  return updatesOf({ payload, position, count: 1 })[0] as Update;
}

/** Calls `read` at the start of each update of a frame from position `from` to `to`, and skips the others. */
function each({ payload, position, count }: Records, from: number, to: number, read: (position: number) => void): void {
  try {
    reader.begin(payload);
    for (let next = position; next < position + count; next += 1) {
      if (next < from || next > to) reader.skip();
      else read(next);
    }
    reader.end();
  } catch (cause) {
    throw corrupt(`The updates at position ${position} of the log cannot be decoded`, cause);
  }
}

function readUpdate(payload: Buffer, position: number, valued: boolean): Update {
  beginUpdate();
  const namespace = reader.text();
  const version = reader.number();
  const given = reader.number();
  const code = given % BEGINS;
  const key = reader.textOrNull();
  const value = valued || code === CLEAR ? (reader.value(true) as JsonValue) : encodedValue(payload);
  const at = reader.number();
  const origin = readWholeOrigin();
  const agent = origin === undefined ? reader.textOrNull() : origin.agent;
  const expiresAt = reader.numberOrNull();
  const replaced = reader.number();
  const bytes = reader.number();
  const operation = operationOf(given);
  const drop = code === DROP;
  const fields = { namespace, version, operation, key, value, at, agent, expiresAt, replaced, drop, bytes };
  const update = createUpdate(fields);
  if (given !== code) update.begins = true;
  if (code === CLEAR) setKeys(update);
  if (origin?.meta !== undefined) update.meta = origin.meta;
  if (origin?.operationId !== undefined) update.operationId = origin.operationId;
  if (origin?.commandHash !== undefined) update.commandHash = origin.commandHash;
  if (origin?.basis !== undefined) update.basis = origin.basis;
  update.position = position;
  return update;
}

/** Most values are replaced by later ones before anything reads them: the index takes them encoded. */
function readLocated({ payload, offset }: Frame, position: number, valued: boolean): LocatedUpdate {
  const start = reader.at;
  beginUpdate();
  const namespace = reader.text();
  const version = reader.number();
  const given = reader.number();
  const code = given % BEGINS;
  const key = reader.textOrNull();
  const value = valued || code === CLEAR ? (reader.value(true) as JsonValue) : encodedValue(payload);
  const at = reader.number();
  const origin = readWholeOrigin();
  const agent = origin === undefined ? reader.textOrNull() : origin.agent;
  const expiresAt = reader.numberOrNull();
  const replaced = reader.number();
  const bytes = reader.number();
  // Spreading parts of it would take longer than everything else.
  return {
    position,
    namespace,
    version,
    operation: operationOf(given),
    key,
    value: code === CLEAR ? null : value,
    at,
    agent,
    expiresAt,
    replaced,
    drop: code === DROP,
    bytes,
    begins: given === code ? undefined : true,
    keys: code === CLEAR ? keysOf(value) : undefined,
    meta: origin?.meta,
    operationId: origin?.operationId,
    commandHash: origin?.commandHash,
    basis: origin?.basis,
    offset: offset + FRAME_HEADER + start,
    length: reader.at - start,
    checksum: checksumOf(payload, start, reader.at),
  };
}

/** Moves the keys of a `clear` out of its value. */
function setKeys(update: PendingUpdate): void {
  update.keys = keysOf(update.value);
  update.value = null;
}

function keysOf(value: JsonValue): readonly string[] {
  const isKeys = Array.isArray(value) && value.every((key) => typeof key === 'string');
  if (isKeys) return value as readonly string[];
  throw new RangeError('The keys of a clear are not an array of texts');
}

function encodedValue(payload: Buffer): JsonValue {
  const start = reader.at;
  reader.skip();
  return new EncodedValue(payload, start, reader.at).asValue;
}

function beginUpdate(): void {
  if (reader.array() !== FIELDS) throw new RangeError('An update has an unexpected number of fields');
}

/** `code`: with {@link BEGINS}. */
function operationOf(code: number): Operation {
  const operation = OPERATION_OF_CODE[code % BEGINS];
  if (operation === undefined || code >= 2 * BEGINS) throw new RangeError('An update has an unknown operation');
  return operation;
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
