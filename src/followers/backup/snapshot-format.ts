import { createHash } from 'node:crypto';
import { decode, encode } from '../../core/encoding/codec.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Transforms } from './snapshot-transform.ts';

/** The format that this version writes; it reads this one and older ones. */
export const SNAPSHOT_FORMAT = 1;

/** Names of manifests begin with it; what follows is the instant and the position. */
export const MANIFEST_PREFIX = 'snapshot-';

/** Names of parts begin with it; what follows is the hash of the stored bytes. */
export const PART_PREFIX = 'part-';

/** A stored piece of a namespace. */
export interface PartRef {
  /** The blob's name: `part-` and the first 40 hex digits of `sha256`, so that equal parts are stored once. */
  readonly id: string;
  /** Length of the stored bytes. */
  readonly bytes: number;
  /** Of the stored bytes, in hex. */
  readonly sha256: string;
}

/** A namespace in a manifest. */
export interface ManifestNamespace {
  readonly name: string;
  readonly version: number;
  /** Position of its last update. */
  readonly position: number;
  /** How many entries it has. */
  readonly count: number;
  readonly parts: readonly PartRef[];
}

/** What a snapshot consists of; written last, so that a snapshot that has one is complete. */
export interface Manifest {
  readonly format: number;
  readonly id: string;
  /** Position of the cut. */
  readonly position: number;
  /** When the cut was made, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that the positions belong to. */
  readonly log: string;
  /** Names of the transforms that parts and manifest have gone through, in this order. */
  readonly transforms: readonly string[];
  readonly namespaces: readonly ManifestNamespace[];
}

/** A snapshot as it is listed. */
export interface SnapshotInfo {
  /** Sorts by the time of the snapshot, then by position. */
  readonly id: string;
  /** Position of the cut: every update up to here is in it. */
  readonly position: number;
  /** When the cut was made, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that `position` belongs to; empty where the manifest cannot be read. */
  readonly log: string;
  /** How many namespaces. */
  readonly namespaces: number;
  /** How many entries. */
  readonly entries: number;
  /** Stored bytes of all its parts, those shared with other snapshots included. */
  readonly bytes: number;
  /** Whether the manifest can be read and every part is there. Checksums of parts: `BackupLoader.verify`. */
  readonly whole: boolean;
  /** Why it is not whole. */
  readonly problem?: string;
}

/** A stored snapshot that is not what was written: `snapshot` names it, `part` the part where it is one. */
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

/** SHA-256 in hex. */
export function sha256(...pieces: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

/** The blob's name of a part with this SHA-256. */
export function partId(hash: string): string {
  return PART_PREFIX + hash.slice(0, 40);
}

/**
 * A snapshot's id. `at` must be later than that of every snapshot already stored, so that the order of ids is the
 * order of writing whatever the clock or another log's positions do.
 */
export function snapshotId(at: number, position: number): string {
  return `${MANIFEST_PREFIX}${String(at).padStart(15, '0')}-${String(position).padStart(16, '0')}`;
}

/** The instant and the position of a snapshot's id; `undefined` for a name that is none. */
export function parseSnapshotId(id: string): { readonly at: number; readonly position: number } | undefined {
  const match = /^snapshot-(\d{15})-(\d{16})$/.exec(id);
  return match === null ? undefined : { at: Number(match[1]), position: Number(match[2]) };
}

/** What is told of a snapshot by its manifest. */
export function infoOf(manifest: Manifest, missing: number): SnapshotInfo {
  const parts = new Map(manifest.namespaces.flatMap(({ parts }) => parts).map((part) => [part.id, part.bytes]));
  const { id, position, at, log, namespaces } = manifest;
  return {
    ...{ id, position, at, log },
    namespaces: namespaces.length,
    entries: namespaces.reduce((sum, { count }) => sum + count, 0),
    bytes: [...parts.values()].reduce((sum, bytes) => sum + bytes, 0),
    whole: missing === 0,
    ...(missing === 0 ? {} : { problem: `${missing} of its ${parts.size} parts are missing` }),
  };
}

/** The names of all parts of a manifest, each once. */
export function partIds(manifest: Manifest): string[] {
  return [...new Set(manifest.namespaces.flatMap(({ parts }) => parts).map(({ id }) => id))];
}

/** The manifest as it is stored: `{ format, transforms, sha256, body }`, a shape that every format keeps. */
export async function sealManifest(manifest: Manifest, transforms: Transforms): Promise<Uint8Array> {
  const body = await transforms.encode(encode(manifest));
  const { format, transforms: names } = manifest;
  return encode({ format, transforms: names, sha256: sha256(envelopeText(format, names), body), body });
}

/**
 * The inverse of {@link sealManifest}.
 *
 * @throws {ContextCacheError} `SNAPSHOT_CORRUPT` where it is not what was written, `FORMAT_UNSUPPORTED` where a newer
 *   version has written it, `INVALID_OPTION` where a transform is missing or a wrong one.
 */
export async function openManifest(id: string, bytes: Uint8Array, transforms: Transforms): Promise<Manifest> {
  const envelope = openEnvelope(id, bytes);
  if (envelope.format > SNAPSHOT_FORMAT) {
    const message = `Snapshot ${id} has format ${envelope.format}; this version reads up to ${SNAPSHOT_FORMAT}. Update the package.`;
    throw new ContextCacheError('FORMAT_UNSUPPORTED', message);
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

/** What of the envelope the checksum covers besides the body. */
function envelopeText(format: number, transforms: readonly string[]): string {
  return `${JSON.stringify([format, transforms])}\n`;
}
