import { createHash } from 'node:crypto';
import { decode, encode } from '../../core/encoding/codec.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Remembered } from '../../core/remembered.ts';
import type { Transforms } from './snapshot-transform.ts';

/** The format that this version writes and reads. */
export const SNAPSHOT_FORMAT = 2;

/** The beginning of the names of manifests; the instant and the position follow. */
export const MANIFEST_PREFIX = 'snapshot-';

/** The beginning of the names of parts; the hash of the stored bytes follows. */
export const PART_PREFIX = 'part-';

/** A stored piece of a namespace. */
export interface PartRef {
  /** The blob's name: `part-` and the first 40 hex digits of `sha256`, so that equal parts are stored once. */
  readonly id: string;
  /** Length of the stored bytes. */
  readonly bytes: number;
  /** SHA-256 of the stored bytes, in hex. */
  readonly sha256: string;
}

/** A namespace in a manifest. */
export interface ManifestNamespace {
  readonly name: string;
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  /** Number of its entries. */
  readonly count: number;
  readonly parts: readonly PartRef[];
}

/** The content of a snapshot, with what is remembered at its position. It is written last, so a snapshot with a manifest is complete. */
export interface Manifest extends Remembered {
  readonly format: number;
  readonly id: string;
  /** Position of the snapshot. */
  readonly position: number;
  /** Instant of the capture, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that the positions belong to. */
  readonly log: string;
  /** Names of the transforms that parts and manifest have gone through, in this order. */
  readonly transforms: readonly string[];
  readonly namespaces: readonly ManifestNamespace[];
  /** The state of the cluster at the position; absent without a cluster. */
  readonly cluster?: StoredCluster | undefined;
}

/** The state of a cluster beside its data, in a snapshot. The cluster alone reads the other fields. */
export interface StoredCluster {
  /** Sequence of the stream's message up to which everything is in the snapshot. */
  readonly sequence: number;
}

/** A snapshot as it is listed. */
export interface SnapshotInfo {
  /** Sorts by the time of the snapshot, then by position. */
  readonly id: string;
  /** Position of the snapshot: it contains every update up to here. */
  readonly position: number;
  /** Instant of the capture, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that `position` belongs to; empty if the manifest cannot be read. */
  readonly log: string;
  /** Number of namespaces. */
  readonly namespaces: number;
  /** Number of entries. */
  readonly entries: number;
  /** Stored bytes of all its parts, including those shared with other snapshots. */
  readonly bytes: number;
  /** Sequence of the stream's message up to which everything is in it; absent without a cluster. */
  readonly sequence?: number;
  /** `true` if the manifest can be read and every part exists. `BackupLoader.verify` checks the checksums of the parts. */
  readonly whole: boolean;
  /** The reason why it is not whole. */
  readonly problem?: string;
}

/** A stored snapshot is damaged (`SNAPSHOT_CORRUPT`): `snapshot` names it; `part` names the damaged part, if it is a part. */
export class SnapshotCorruptError extends ContextCacheError {
  readonly snapshot: string;
  readonly part: string | undefined;

  constructor(snapshot: string, part: string | undefined, problem: string, options?: ErrorOptions) {
    const what = part === undefined ? `Snapshot ${snapshot}` : `Part ${part} of snapshot ${snapshot}`;
    super(
      'SNAPSHOT_CORRUPT',
      `${what} ${problem}. Use an older snapshot, or take a new one of a running cache.`,
      options,
    );
    this.name = 'SnapshotCorruptError';
    this.snapshot = snapshot;
    this.part = part;
  }
}

/** Returns the SHA-256 in hex. */
export function sha256(...pieces: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

/** Returns the name of the part with this SHA-256. */
export function partId(hash: string): string {
  return PART_PREFIX + hash.slice(0, 40);
}

/**
 * Returns the id of a snapshot. `at` must be later than that of every stored snapshot, so that ids sort in the order of
 * writing, independently of the clock and of the positions of another log.
 */
export function snapshotId(at: number, position: number): string {
  return `${MANIFEST_PREFIX}${String(at).padStart(15, '0')}-${String(position).padStart(16, '0')}`;
}

/** Returns the instant and the position of a snapshot's id; `undefined` if the name is not an id. */
export function parseSnapshotId(id: string): { readonly at: number; readonly position: number } | undefined {
  const match = /^snapshot-(\d{15})-(\d{16})$/.exec(id);
  return match === null ? undefined : { at: Number(match[1]), position: Number(match[2]) };
}

/** Describes a snapshot by its manifest. */
export function infoOf(manifest: Manifest, missing: number): SnapshotInfo {
  const parts = new Map(manifest.namespaces.flatMap(({ parts }) => parts).map((part) => [part.id, part.bytes]));
  const { id, position, at, log, namespaces } = manifest;
  return {
    ...{ id, position, at, log },
    namespaces: namespaces.length,
    entries: namespaces.reduce((sum, { count }) => sum + count, 0),
    bytes: [...parts.values()].reduce((sum, bytes) => sum + bytes, 0),
    ...(manifest.cluster === undefined ? {} : { sequence: manifest.cluster.sequence }),
    whole: missing === 0,
    ...(missing === 0 ? {} : { problem: `${missing} of its ${parts.size} parts are missing` }),
  };
}

/** Returns the names of all parts of a manifest, each once. */
export function partIds(manifest: Manifest): string[] {
  return [...new Set(manifest.namespaces.flatMap(({ parts }) => parts).map(({ id }) => id))];
}

/** Returns the stored form of a manifest: `{ format, transforms, sha256, body }`, a shape that every format keeps. */
export async function sealManifest(manifest: Manifest, transforms: Transforms): Promise<Uint8Array> {
  const body = await transforms.encode(encode(manifest));
  const { format, transforms: names } = manifest;
  return encode({ format, transforms: names, sha256: sha256(envelopeText(format, names), body), body });
}

/**
 * Reads the stored form that {@link sealManifest} returns.
 *
 * @throws {ContextCacheError} `SNAPSHOT_CORRUPT` if it is damaged, `FORMAT_UNSUPPORTED` if it has another format,
 *   `INVALID_OPTION` if a transform is missing or a different one.
 */
export async function openManifest(id: string, bytes: Uint8Array, transforms: Transforms): Promise<Manifest> {
  const envelope = openEnvelope(id, bytes);
  if (envelope.format !== SNAPSHOT_FORMAT) {
    const message = `Snapshot ${id} has format ${envelope.format}; this version reads format ${SNAPSHOT_FORMAT}.`;
    const remedy = 'Use the version of agent-context-cache that wrote it';
    const newer = envelope.format > SNAPSHOT_FORMAT ? ', or a newer one' : '';
    throw new ContextCacheError('FORMAT_UNSUPPORTED', `${message} ${remedy}${newer}.`);
  }
  const manifest = decode(await transforms.decode(envelope.body, envelope.transforms, `Snapshot ${id}`)) as Manifest;
  if (manifest.id !== id)
    throw new SnapshotCorruptError(id, undefined, `is stored under this name, but is ${manifest.id}`);
  return manifest;
}

interface Envelope {
  readonly format: number;
  readonly transforms: readonly string[];
  readonly sha256: string;
  readonly body: Uint8Array;
}

function openEnvelope(id: string, bytes: Uint8Array): Envelope {
  let envelope: Partial<Envelope> | null;
  try {
    envelope = decode(bytes) as Partial<Envelope> | null;
  } catch (cause) {
    throw new SnapshotCorruptError(id, undefined, 'has a manifest that is torn', { cause });
  }
  const { format, transforms, sha256: expected, body } = envelope ?? {};
  const shaped = typeof format === 'number' && Array.isArray(transforms) && body instanceof Uint8Array;
  if (!shaped || expected !== sha256(envelopeText(format, transforms), body)) {
    throw new SnapshotCorruptError(id, undefined, 'has a manifest whose checksum is wrong');
  }
  return { format, transforms, sha256: expected, body };
}

/** Returns the part of the envelope that the checksum covers beside the body. */
function envelopeText(format: number, transforms: readonly string[]): string {
  return `${JSON.stringify([format, transforms])}\n`;
}
