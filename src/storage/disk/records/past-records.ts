import { decode, freezeDeep } from '../../../core/encoding/codec.ts';
import { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { createUpdate, type Operation, type Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import type { KeyRange, StorageWrite } from '../leveldb/level-storage.ts';
import { seal, sealWritten, unseal } from '../leveldb/sealed.ts';
import { codeOf, DROP, OPERATIONS } from './block-codec.ts';

/**
 * How the past lies in storage. A namespace's updates over all its incarnations are counted: 0, 1, 2, … is their
 * ordinal. They lie in chunks of {@link CHUNK_UPDATES}, so that a chunk is found by an ordinal; frames are copies of the
 * namespace's pages as they were before an ordinal. Where the beginning has been let go of, a keyframe may stand for it:
 * the folded state as it was before an ordinal.
 */

const writer = new MessageWriter();

/** Updates in a chunk. Small, because the last one is written again with every batch. */
export const CHUNK_UPDATES = 32;
const PREFIX = '!past!';
/** All keys of the past. */
export const PAST_KEYS = { gte: PREFIX, lt: '!past"' } as const;
/** The records of the namespaces that there are or have been. */
export const PAST_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;

/** What is known of the past of a namespace without reading it. */
export interface PastSummary {
  readonly name: string;
  /** How many updates it has had. */
  readonly count: number;
  /** Position of the last one. */
  readonly last: number;
  readonly frames: number;
  /** Ordinal of the last frame; 0 where there is none. */
  readonly framedAt: number;
  /** Estimated work to fold what has come since the last frame. */
  readonly weight: number;
  /** Positions at which it came into being and was dropped, in turns; the latest ones. 0: it was there before. */
  readonly lives: readonly number[];
  /** Whether there were earlier ones. */
  readonly livedBefore: boolean;
  /** The first chunk that is kept. */
  readonly firstChunk: number;
  /** The first frame that is kept; `frames` where none is. */
  readonly firstFrame: number;
  readonly keyframe: Keyframe | undefined;
}

/** A copy of a namespace's pages. */
export interface Frame {
  /** How many updates are in it. */
  readonly ordinal: number;
  readonly version: number;
  readonly position: number;
  readonly pages: number;
  /** How many entries its pages hold; `undefined` where that was not written down. */
  readonly entries: number | undefined;
}

/** A frame that was folded when what came before it was let go of. */
export interface Keyframe extends Frame {
  /** Raised with each one, so that none is written over another that is still in use. */
  readonly generation: number;
}

/** Some consecutive updates of a namespace; each stays encoded until it is asked for. */
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

/** All pages of a keyframe, and whatever a crash has left of one of this generation. */
export function keyframeRange(name: string, generation: number): KeyRange {
  const prefix = key('k', name, generation);
  return { gte: `${prefix}/`, lt: `${prefix}0` };
}

/** Key of a record of instants; see {@link PastTimes}. */
export function timesKey(index: number): string {
  return `${PREFIX}t/${index.toString(16)}`;
}

/** Key of the record of the past of a namespace. */
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

/** The inverse of {@link pastWrite}. */
export function decodePast(record: Uint8Array): PastSummary {
  const fields = unseal(record, () => 'The record of the past of a namespace');
  // The last three are not there in a directory from before anything was let go of.
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

/** The inverse of {@link frameWrite}. */
export function decodeFrame(record: Uint8Array): Frame {
  return frameOf(unseal(record, () => 'A frame of the past of a namespace') as FrameFields);
}

/** Those of a chunk, encoded already, and the ones that come after them: all that are in the chunk then. */
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

/** The inverse of {@link chunkWrite}. */
export function decodeChunk(record: Uint8Array): Chunk {
  const fields = unseal(record, () => 'Updates in the past of a namespace');
  const [positions, updates] = fields as [number[], Uint8Array[]];
  return { positions, updates };
}

/** What an update says beside its namespace and position. */
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

/** The inverse of {@link encodePastUpdate}. */
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
  const operation = OPERATIONS[code] as Operation;
  const drop = code === DROP;
  const update = createUpdate(
    namespace,
    version,
    operation,
    of,
    freezeDeep(value),
    at,
    agent,
    expiresAt,
    replaced,
    drop,
    bytes,
  );
  update.position = position;
  return update;
}
