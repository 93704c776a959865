import { decode, encode, freezeDeep } from '../core/codec.ts';
import { createUpdate, type Operation, type Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { DROP, OPERATION_CODES, OPERATIONS } from './block-codec.ts';
import type { StorageWrite } from './level-storage.ts';
import { seal, unseal } from './sealed.ts';

/**
 * How the past lies in storage. A namespace's updates over all its incarnations are counted: 0, 1, 2, … is their
 * ordinal. They lie in chunks of {@link CHUNK_UPDATES}, so that a chunk is found by an ordinal; frames are copies of the
 * namespace's pages as they were before an ordinal.
 */

/** Updates in a chunk. Small, because the last one is written again with every batch. */
export const CHUNK_UPDATES = 32;
/** Instants in a record of them. */
export const TIMES = 1024;

const PREFIX = '!past!';
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
}

/** A copy of a namespace's pages. */
export interface Frame {
  /** How many updates are in it. */
  readonly ordinal: number;
  readonly version: number;
  readonly position: number;
  readonly pages: number;
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

/** Key of a record of instants. */
export function timesKey(index: number): string {
  return `${PREFIX}t/${index.toString(16)}`;
}

export function pastWrite(summary: PastSummary): StorageWrite {
  const { name, count, last, frames, framedAt, weight, lives, livedBefore } = summary;
  const value = seal([name, count, last, frames, framedAt, weight, lives, livedBefore]);
  return { type: 'put', key: PAST_RANGE.gte + name, value };
}

/** The inverse of {@link pastWrite}. */
export function decodePast(record: Uint8Array): PastSummary {
  const fields = unseal(record, () => 'The record of the past of a namespace');
  const [name, count, last, frames, framedAt, weight, lives, livedBefore] = fields as [
    string,
    number,
    number,
    number,
    number,
    number,
    number[],
    boolean,
  ];
  return { name, count, last, frames, framedAt, weight, lives, livedBefore };
}

export function frameWrite(name: string, index: number, frame: Frame): StorageWrite {
  const { ordinal, version, position, pages } = frame;
  return { type: 'put', key: frameKey(name, index), value: seal([ordinal, version, position, pages]) };
}

/** The inverse of {@link frameWrite}. */
export function decodeFrame(record: Uint8Array): Frame {
  const fields = unseal(record, () => 'A frame of the past of a namespace');
  const [ordinal, version, position, pages] = fields as [number, number, number, number];
  return { ordinal, version, position, pages };
}

export function chunkWrite(name: string, index: number, { positions, updates }: Chunk): StorageWrite {
  return { type: 'put', key: chunkKey(name, index), value: seal([positions, updates]) };
}

/** The inverse of {@link chunkWrite}. */
export function decodeChunk(record: Uint8Array): Chunk {
  const fields = unseal(record, () => 'Updates in the past of a namespace');
  const [positions, updates] = fields as [number[], Uint8Array[]];
  return { positions, updates };
}

/** What an update says beside its namespace and position. */
export function encodePastUpdate(update: Update): Uint8Array {
  const { version, operation, key: of, value, at, agent, expiresAt, replaced, drop, bytes } = update;
  const code = drop ? DROP : OPERATION_CODES.get(operation);
  return encode([version, code, of, value, at, agent, expiresAt, replaced, bytes]);
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

/** Instants that never go down, as the first one and what each is after it. */
export function timesWrite(index: number, times: readonly number[]): StorageWrite {
  const [first = 0] = times;
  return { type: 'put', key: timesKey(index), value: seal([first, times.map((time) => time - first)]) };
}

/** The inverse of {@link timesWrite}. */
export function decodeTimes(record: Uint8Array | undefined): number[] {
  if (record === undefined) return [];
  const [first, offsets] = unseal(record, () => 'The instants of updates') as [number, number[]];
  return offsets.map((offset) => first + offset);
}
