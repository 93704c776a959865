import { crc32 } from 'node:zlib';
import { decode, decodeEach, freezeDeep } from '../../../core/encoding/codec.ts';
import type { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { createUpdate, OPERATIONS, type Operation, type Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import { corrupt } from '../corrupt.ts';
import type { Frame } from './frame.ts';
import { FRAME_HEADER } from './frame.ts';
import type { LoggedUpdate, UpdateLocation } from './logged-update.ts';

/** Code of a drop, after those of the six operations. */
export const DROP = OPERATIONS.length;
/** Operations by code. The order is part of the format. The last one is a `clear_namespace` that drops. */
export const OPERATION_OF_CODE: readonly Operation[] = [...OPERATIONS, 'clear_namespace'];
const CODES = new Map<Operation, number>(OPERATIONS.map((operation, code) => [operation, code]));

/** Fields of an update in the log. */
type Fields = readonly [
  namespace: string,
  version: number,
  code: number,
  key: string | null,
  value: JsonValue,
  at: number,
  agent: string | null,
  expiresAt: number | null,
  replaced: number,
  bytes: number,
];

/**
 * Writes an update as an array of its fields, without its position. It is complete in itself, so that it can be read
 * without what is around it.
 */
export function writeUpdate(to: MessageWriter, update: Update): void {
  to.array(10);
  to.text(update.namespace);
  to.number(update.version);
  to.number(update.drop ? DROP : (CODES.get(update.operation) as number));
  to.value(update.key);
  to.value(update.value);
  to.number(update.at);
  to.value(update.agent);
  to.value(update.expiresAt);
  to.number(update.replaced);
  to.number(update.bytes);
}

/**
 * Decodes the updates of a frame.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming the position.
 */
export function updatesOf(frame: Frame): Update[] {
  const updates: Update[] = [];
  each(frame, (fields) => updates.push(updateOf(fields, frame.position + updates.length)));
  return updates;
}

/** Decodes the updates of a frame and says where each lies. */
export function loggedUpdatesOf(frame: Frame): LoggedUpdate[] {
  const logged: LoggedUpdate[] = [];
  each(frame, (fields, start, end) => {
    const checksum = crc32(frame.payload.subarray(start, end));
    const location = { offset: frame.offset + FRAME_HEADER + start, length: end - start, checksum };
    logged.push({ update: updateOf(fields, frame.position + logged.length), location });
  });
  return logged;
}

function each({ payload, position, count }: Frame, take: (fields: Fields, start: number, end: number) => void): void {
  let taken: number;
  try {
    taken = decodeEach(payload, (fields, start, end) => take(fields as Fields, start, end));
  } catch (cause) {
    throw corrupt(`The updates at position ${position} of the log cannot be decoded`, cause);
  }
  if (taken !== count) throw corrupt(`The log has ${taken} updates at position ${position} instead of ${count}`);
}

/** Decodes the update at a position from its bytes. */
export function decodeUpdate(bytes: Buffer, position: number, { checksum }: UpdateLocation): Update {
  if (crc32(bytes) !== checksum)
    throw corrupt(`The update at position ${position} of the log does not match its checksum`);
  return updateOf(decode(bytes) as Fields, position);
}

function updateOf(fields: Fields, position: number): Update {
  const [namespace, version, code, key, value, at, agent, expiresAt, replaced, bytes] = fields;
  const operation = OPERATION_OF_CODE[code];
  if (operation === undefined) throw corrupt(`The update at position ${position} of the log has an unknown operation`);
  const update = createUpdate({
    ...{ namespace, version, operation, key, at, agent, expiresAt, replaced, bytes },
    value: freezeDeep(value),
    drop: code === DROP,
  });
  update.position = position;
  return update;
}
