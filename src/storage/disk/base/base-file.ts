import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { reader } from '../../../core/encoding/codec.ts';
import type { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { readWholeOrigin, writeOrigin } from '../../../core/encoding/origin-codec.ts';
import type { EntryRecord } from '../../../core/namespace-state.ts';
import type { Remembered } from '../../../core/remembered.ts';
import type { JsonValue } from '../../../core/value.ts';
import { corrupt, unwritable } from '../corrupt.ts';
import { createWhole, type Files, openFile, type WritableFile } from '../files.ts';
import { claimedLength, decodeNote, encodeFrame, type Frame, frameAt, MAGIC, NOTE, STATE } from '../log/frame.ts';
import type { BaseNamespace } from '../log/logged-update.ts';
import { PRODUCT } from '../log/notes.ts';

/**
 * A base file: the state of all namespaces at one position, from which the log goes on once its start was released. After the
 * {@link MAGIC} and a note with log and position come frames of state, then a note with the number of namespaces. The records
 * of a frame are arrays: one of four fields begins a namespace, one of eight (seven without the value) is an entry of it. The first
 * note of a base that was adopted has what was remembered there; otherwise the log has it.
 */
const FRAME_BYTES = 256 * 1024;
const READ_BYTES = 1024 * 1024;

/** Name of the base file at a position. */
export function baseName(position: number): string {
  return `${String(position).padStart(16, '0')}.base`;
}

/** Resolves with the positions of the base files in a directory, in ascending order. */
export async function basesIn(files: Files, directory: string): Promise<number[]> {
  const names = (await files.list(directory)).filter((name) => /^\d{16}\.base$/.test(name));
  return names.map((name) => Number.parseInt(name, 10)).sort((a, b) => a - b);
}

/**
 * Writes the base file of a position, as a whole or not at all.
 *
 * @throws {ContextCacheError} `LOG_UNAVAILABLE`, and what `namespaces` throws.
 */
export async function writeBase(
  files: Files,
  directory: string,
  { log, position, ...remembered }: { readonly log: string; readonly position: number } & Remembered,
  namespaces: AsyncIterable<BaseNamespace> | Iterable<BaseNamespace>,
): Promise<void> {
  const write = async (file: WritableFile) => {
    let end = 0;
    const append = async (...parts: Buffer[]) => {
      await file.write(parts, end);
      for (const { length } of parts) end += length;
    };
    const note = (content: unknown) =>
      encodeFrame({ position, flags: NOTE, synced: 0, count: 0 }, (to) => to.value(content));
    await append(MAGIC, note({ product: PRODUCT, log, position, ...remembered }));
    let count = 0;
    for await (const frame of framesOf(namespaces, position, () => (count += 1))) await append(frame);
    await append(note({ namespaces: count }));
  };
  try {
    const file = await createWhole(files, directory, baseName(position), false, write);
    await file.close();
  } catch (thrown) {
    throw unwritable(join(directory, baseName(position)), thrown);
  }
}

async function* framesOf(
  namespaces: AsyncIterable<BaseNamespace> | Iterable<BaseNamespace>,
  position: number,
  counted: () => void,
): AsyncGenerator<Buffer> {
  let records: ((to: MessageWriter) => void)[] = [];
  let bytes = 0;
  const encoded = () => {
    const frame = encodeFrame({ position, flags: STATE, synced: 0, count: records.length }, (to) => {
      for (const write of records) write(to);
    });
    records = [];
    bytes = 0;
    return frame;
  };
  for await (const { name, version, position: changed, entries } of namespaces) {
    counted();
    const all = new Map(entries);
    records.push((to) => to.value([name, version, changed, all.size]));
    bytes += 64;
    if (bytes >= FRAME_BYTES) yield encoded();
    for (const [key, entry] of all) {
      records.push((to) => writeEntry(to, key, entry));
      bytes += 64 + entry.bytes;
      if (bytes >= FRAME_BYTES) yield encoded();
    }
  }
  if (records.length > 0) yield encoded();
}

function writeEntry(to: MessageWriter, key: string, entry: EntryRecord): void {
  const { version, createdAt, updatedAt, agent, expiresAt, bytes, value, meta } = entry;
  to.array(value === undefined ? 7 : 8);
  to.text(key);
  to.number(version);
  to.number(createdAt);
  to.number(updatedAt);
  writeOrigin(to, { agent, meta });
  to.value(expiresAt);
  to.number(bytes);
  if (value !== undefined) to.value(value);
}

/**
 * Returns what the first note of a base file says was remembered at its position: nothing unless the base was adopted.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset.
 */
export function rememberedInBase(files: Files, directory: string, position: number): Remembered {
  if (position === 0) return {};
  const path = join(directory, baseName(position));
  for (const frame of readFramesSync(files, path)) {
    const { operations, floor } = decodeNote(frame, () => `The heading of ${path}`) as Remembered;
    return { operations, floor };
  }
  return {};
}

/**
 * Reads the namespaces of a base file.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset.
 */
export function* readBaseSync(
  files: Files,
  directory: string,
  { log, position }: { readonly log: string | undefined; readonly position: number },
): Generator<BaseNamespace> {
  const path = join(directory, baseName(position));
  let found = 0;
  let open:
    | { name: string; version: number; position: number; due: number; entries: [string, EntryRecord][] }
    | undefined;
  let isWhole = false;
  for (const frame of readFramesSync(files, path)) {
    if ((frame.flags & NOTE) !== 0) {
      const note = decodeNote(frame, () => `A note in ${path}`);
      if (log !== undefined && note.log !== undefined && note.log !== log)
        throw corrupt(`${path} belongs to another log`);
      if (frame.position !== position) throw corrupt(`${path} holds the state at position ${frame.position}`);
      if (note.namespaces === undefined) continue;
      isWhole = note.namespaces === found + (open === undefined ? 0 : 1);
      continue;
    }
    for (const row of rowsOf(frame, path)) {
      if ('entry' in row) {
        open?.entries.push(row.entry);
        continue;
      }
      if (open !== undefined) {
        yield closed(open, path);
        found += 1;
      }
      const [name, version, changed, due] = row;
      open = { name, version, position: changed, due, entries: [] };
    }
  }
  if (!isWhole) throw corrupt(`${path} does not hold the namespaces that were written to it`);
  if (open !== undefined) yield closed(open, path);
}

/** Reads the namespaces of a base file with turns of the event loop in between. Throws as {@link readBaseSync} does. */
export async function* readBase(...args: Parameters<typeof readBaseSync>): AsyncGenerator<BaseNamespace> {
  let read = 0;
  for (const namespace of readBaseSync(...args)) {
    yield namespace;
    read += 1;
    if (read % 64 === 0) await nextTurn();
  }
}

function closed(
  open: { readonly due: number; readonly entries: [string, EntryRecord][] } & Omit<BaseNamespace, 'entries'>,
  path: string,
): BaseNamespace {
  if (open.entries.length === open.due) return open;
  throw corrupt(`${path} has ${open.entries.length} entries of a namespace instead of ${open.due}`);
}

/** The start of a namespace, or an entry of the one that started last. */
type Row =
  | readonly [name: string, version: number, changed: number, due: number]
  | { readonly entry: [string, EntryRecord] };

function rowsOf({ payload, count, offset }: Frame, path: string): Row[] {
  const rows: Row[] = [];
  try {
    reader.begin(payload);
    while (reader.at < payload.length) rows.push(readRow());
  } catch (cause) {
    throw corrupt(`${path} cannot be decoded at byte ${offset}`, cause);
  }
  if (rows.length !== count) throw corrupt(`${path} has ${rows.length} records at byte ${offset} instead of ${count}`);
  return rows;
}

function readRow(): Row {
  const fields = reader.array();
  const name = reader.text();
  const version = reader.number();
  if (fields === 4) return [name, version, reader.number(), reader.number()];
  const createdAt = reader.number();
  const updatedAt = reader.number();
  const origin = readWholeOrigin();
  const agent = origin === undefined ? reader.textOrNull() : origin.agent;
  const expiresAt = reader.numberOrNull();
  const bytes = reader.number();
  const value = fields < 8 ? undefined : (reader.value(true) as JsonValue);
  const meta = origin?.meta;
  return { entry: [name, { value, version, createdAt, updatedAt, expiresAt, agent, bytes, meta }] };
}

/**
 * Reads the frames of a file, oldest first.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset, unless every byte belongs to a whole frame;
 *   `LOG_UNAVAILABLE`.
 */
function* readFramesSync(files: Files, path: string): Generator<Frame> {
  const file = openFile(files, path);
  try {
    let length = READ_BYTES;
    for (let offset = 0; ; ) {
      const bytes = Buffer.allocUnsafe(length);
      const chunk = bytes.subarray(0, file.read(bytes, offset));
      let index = offset === 0 ? MAGIC.length : 0;
      if (offset === 0 && !chunk.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(`${path} is damaged at byte 0`);
      for (let frame = frameAt(chunk, index, offset); frame !== undefined; frame = frameAt(chunk, index, offset)) {
        index = frame.end - offset;
        yield frame;
      }
      if (chunk.length < length) {
        if (index === chunk.length) return;
        throw corrupt(`${path} is damaged at byte ${offset + index}`);
      }
      length = index === 0 ? Math.min(Math.max(length, claimedLength(chunk, 0) ?? length), 2 * length) : READ_BYTES;
      if (index === 0 && length === chunk.length) throw corrupt(`${path} is damaged at byte ${offset}`);
      offset += index;
    }
  } finally {
    file.close();
  }
}
