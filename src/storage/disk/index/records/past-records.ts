import type { KeyRange, StorageWrite } from '../leveldb/level-storage.ts';
import { seal, unseal } from '../leveldb/sealed.ts';

/**
 * Format of the past in storage. The updates of a namespace, over all of its incarnations, are numbered 0, 1, 2, …:
 * their ordinals. Their positions and their locations in the log lie in chunks of {@link CHUNK_UPDATES}, so that an
 * ordinal gives the chunk. A frame is a copy of the namespace's pages as they were before an ordinal. If the start of
 * the past was released, a keyframe may replace it: the folded state before an ordinal.
 */

/** Number of updates in a chunk. The last chunk of a namespace is rewritten with every batch that changes it. */
export const CHUNK_UPDATES = 128;
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
  /** Number of entries in its pages. */
  readonly entries: number;
}

/** A frame that was folded when the past before it was released. */
export interface Keyframe extends Frame {
  /** Increases with each keyframe, so that none overwrites another that is still in use. */
  readonly generation: number;
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
  const [name, count, last, frames, framedAt, weight, lives, livedBefore, firstChunk, firstFrame, key] = fields as [
    string,
    number,
    number,
    number,
    number,
    number,
    number[],
    boolean,
    number,
    number,
    [number, ...FrameFields] | null,
  ];
  const keyframe = key ? { generation: key[0], ...frameOf(key.slice(1) as unknown as FrameFields) } : undefined;
  return { name, count, last, frames, framedAt, weight, lives, livedBefore, firstChunk, firstFrame, keyframe };
}

type FrameFields = readonly [ordinal: number, version: number, position: number, pages: number, entries: number];

function fieldsOf({ ordinal, version, position, pages, entries }: Frame): FrameFields {
  return [ordinal, version, position, pages, entries];
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
