import type { EntryRecord } from '../../../core/namespace-state.ts';
import type { Update } from '../../../core/update.ts';

/** The bytes of an update in the segment file that holds its position. */
export interface UpdateLocation {
  /** First byte in the file. */
  readonly offset: number;
  readonly length: number;
  /** CRC-32 of the bytes. */
  readonly checksum: number;
}

/**
 * An update and its bytes in the log. For the index its value is an `EncodedValue`. One object instead of three, because
 * they come in millions.
 */
export interface LocatedUpdate extends Update, UpdateLocation {}

/** A namespace of a base file or of a snapshot. */
export interface BaseNamespace {
  readonly name: string;
  readonly version: number;
  readonly position: number;
  /** All entries. The same entry may occur twice. */
  readonly entries: Iterable<readonly [string, EntryRecord]>;
}

/** The truth that an index is derived from, as the thread that writes the index reads it. */
export interface IndexedLog {
  readonly id: string;
  /** Position of the base file; 0 without one: the log then starts at position 1. */
  readonly base: number;
  /** Reads the namespaces of the base file. */
  readBase(): AsyncIterable<BaseNamespace>;
  /** Reads committed updates in order, both ends inclusive, in groups of a convenient size. */
  readLocated(from: number, to: number): AsyncIterable<readonly LocatedUpdate[]>;
}

/** Reads single updates synchronously. */
export interface UpdateReader {
  /** @throws {ContextCacheError} `LOG_CORRUPT` if the bytes do not match the checksum. */
  updateAt(position: number, location: UpdateLocation): Update;
}
