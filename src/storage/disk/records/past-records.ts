import { decode, freezeDeep } from '../../../core/encoding/codec.ts';
import { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { createUpdate, type Operation, type Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import type { KeyRange, StorageWrite } from '../leveldb/level-storage.ts';
import { seal, sealWritten, unseal } from '../leveldb/sealed.ts';
import { codeOf, DROP, OPERATION_OF_CODE } from './block-codec.ts';

/**
 * Format of the past in storage. The updates of a namespace, over all of its incarnations, are numbered 0, 1, 2, …:
 * their ordinals. They lie in chunks of {@link CHUNK_UPDATES}, so that an ordinal gives the chunk. A frame is a copy of
 * the namespace's pages as they were before an ordinal. If the start of the past was released, a keyframe may replace
 * it: the folded state before an ordinal.
 */

const writer = new MessageWriter();

/** Number of updates in a chunk. Small, because the last chunk is rewritten with every batch. */
export const CHUNK_UPDATES = 32;
const PREFIX = '!past!';
/** All keys of the past. */
export const PAST_KEYS = { gte: PREFIX, lt: '!past"' } as const;
/** Keys of the records of namespaces, existing or dropped. */
export const PAST_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;

/** Metadata of the past of a namespace. */
export interface PastSummary {
  readonly name: string;
  /** Number of its updates. */
  readonly count: number;
  /** Position of its last update. */
  readonly last: number;
  readonly frames: number;
  /** Ordinal of the last frame; 0 without a frame. */
  readonly framedAt: number;
  /** Estimated work of folding the updates since the last frame. */
  readonly weight: number;
  /** Latest positions at which the namespace was created and dropped, in turns. 0: it existed before the past. */
  readonly lives: readonly number[];
  /** `true` if there were earlier lives than those in `lives`. */
  readonly livedBefore: boolean;
  /** The first chunk that is kept. */
  readonly firstChunk: number;
  /** The first frame that is kept; `frames` if none is. */
  readonly firstFrame: number;
  readonly keyframe: Keyframe | undefined;
}

/** A copy of a namespace's pages. */
export interface Frame {
  /** Number of updates that it contains. */
  readonly ordinal: number;
  readonly version: number;
  readonly position: number;
  readonly pages: number;
  /** Number of entries in its pages; `undefined` in a frame of a version that did not record it. */
  readonly entries: number | undefined;
}

/** A frame that was folded when the past before it was released. */
export interface Keyframe extends Frame {
  /** Increases with each keyframe, so that none overwrites another that is still in use. */
  readonly generation: number;
}

/** Consecutive updates of a namespace. Each stays encoded until it is read. */
export interface Chunk {
  readonly positions: number[];
  readonly updates: Uint8Array[];
}

function key(kind: string, name: string, index: number): string {
  return `${PREFIX}${kind}/${name.length}:${name}/${index.toString(16)}`;
}

/** Key of a chunk of updates. */
export function chunkKey(name: string, index: number): string {
  return key('u', name, index);
}

/** Key of a frame. */
export function frameKey(name: string, index: number): string {
  return key('f', name, index);
}

/** Key of a page of a frame. */
export function framePageKey(name: string, index: number, page: number): string {
  return `${key('p', name, index)}/${page.toString(16)}`;
}

/** Key of a page of a keyframe. */
export function keyframePageKey(name: string, generation: number, page: number): string {
  return `${key('k', name, generation)}/${page.toString(16)}`;
}

/** Keys of the pages of a keyframe, including what a crash has left of this generation. */
export function keyframeRange(name: string, generation: number): KeyRange {
  const prefix = key('k', name, generation);
  return { gte: `${prefix}/`, lt: `${prefix}0` };
}

/** Key of a record of instants; see {@link PastTimes}. */
export function timesKey(index: number): string {
  return `${PREFIX}t/${index.toString(16)}`;
}

/** Key of the record of a namespace's past. */
export function pastKey(name: string): string {
  return PAST_RANGE.gte + name;
}

export function pastWrite(summary: PastSummary): StorageWrite {
  const { name, count, last, frames, framedAt, weight, lives, livedBefore, firstChunk, firstFrame, keyframe } = summary;
  const key = keyframe && [keyframe.generation, ...fieldsOf(keyframe)];
  const kept = [firstChunk, firstFrame, key ?? null];
  const value = seal([name, count, last, frames, framedAt, weight, lives, livedBefore, ...kept]);
  return { type: 'put', key: pastKey(name), value };
}

/** Decodes what {@link pastWrite} has encoded. */
export function decodePast(record: Uint8Array): PastSummary {
  const fields = unseal(record, () => 'The record of the past of a namespace');
  // The last three fields are missing in a directory of a version without retention.
  const [name, count, last, frames, framedAt, weight, lives, livedBefore, ...kept] = fields as [
    string,
    number,
    number,
    number,
    number,
    number,
    number[],
    boolean,
    number?,
    number?,
    [number, ...FrameFields]?,
  ];
  const [firstChunk = 0, firstFrame = 0, key] = kept;
  const keyframe = key ? { generation: key[0], ...frameOf(key.slice(1) as unknown as FrameFields) } : undefined;
  return { name, count, last, frames, framedAt, weight, lives, livedBefore, firstChunk, firstFrame, keyframe };
}

type FrameFields = readonly [ordinal: number, version: number, position: number, pages: number, entries?: number];

function fieldsOf({ ordinal, version, position, pages, entries }: Frame): FrameFields {
  const fields = [ordinal, version, position, pages] as const;
  return entries === undefined ? fields : [...fields, entries];
}

function frameOf([ordinal, version, position, pages, entries]: FrameFields): Frame {
  return { ordinal, version, position, pages, entries };
}

export function frameWrite(name: string, index: number, frame: Frame): StorageWrite {
  return { type: 'put', key: frameKey(name, index), value: seal(fieldsOf(frame)) };
}

/** Decodes what {@link frameWrite} has encoded. */
export function decodeFrame(record: Uint8Array): Frame {
  return frameOf(unseal(record, () => 'A frame of the past of a namespace') as FrameFields);
}

/** Encodes a chunk: the updates it already holds, still encoded, and those that follow. */
export function chunkWrite(
  name: string,
  index: number,
  { positions, updates }: Chunk,
  more: readonly Update[] = [],
): StorageWrite {
  const value = sealWritten((to) => {
    to.array(2);
    to.array(positions.length + more.length);
    for (const position of positions) to.number(position);
    for (const { position } of more) to.number(position);
    to.array(updates.length + more.length);
    for (const update of updates) to.binary(update);
    for (const update of more) to.nested(() => writePastUpdate(to, update));
  });
  return { type: 'put', key: chunkKey(name, index), value };
}

/** Decodes what {@link chunkWrite} has encoded. */
export function decodeChunk(record: Uint8Array): Chunk {
  const fields = unseal(record, () => 'Updates in the past of a namespace');
  const [positions, updates] = fields as [number[], Uint8Array[]];
  return { positions, updates };
}

/** Encodes an update without its namespace and position. */
export function encodePastUpdate(update: Update): Uint8Array {
  writer.begin();
  writePastUpdate(writer, update);
  return writer.end();
}

function writePastUpdate(to: MessageWriter, update: Update): void {
  to.array(9);
  to.number(update.version);
  to.number(codeOf(update));
  to.value(update.key);
  to.value(update.value);
  to.number(update.at);
  to.value(update.agent);
  to.value(update.expiresAt);
  to.number(update.replaced);
  to.number(update.bytes);
}

/** Decodes what {@link encodePastUpdate} has encoded. */
export function decodePastUpdate(namespace: string, position: number, stored: Uint8Array): Update {
  const [version, code, of, value, at, agent, expiresAt, replaced, bytes] = decode(stored) as [
    number,
    number,
    string | null,
    JsonValue,
    number,
    string | null,
    number | null,
    number,
    number,
  ];
  const operation = OPERATION_OF_CODE[code] as Operation;
  const drop = code === DROP;
  const update = createUpdate({
    namespace,
    version,
    operation,
    key: of,
    value: freezeDeep(value),
    at,
    agent,
    expiresAt,
    replaced,
    drop,
    bytes,
  });
  update.position = position;
  return update;
}
