import { createHash, hash } from 'node:crypto';
import { compareNames } from '../names.ts';
import type { EntryRecord, NamespaceState } from '../namespace-state.ts';
import { encode } from './codec.ts';
import { encodeEntry, type StoredEntry } from './entry-codec.ts';
import { MessageWriter } from './message-writer.ts';

/**
 * Digests of state. The digest of a namespace is a sum over its entries, so a change costs two hashes, of the old and the
 * new entry, however large the namespace is. Detects damage and mistakes, but not an attacker who constructs entries with
 * an equal sum. Part of the format: `docs/formats.md`.
 */

const writer = new MessageWriter();

/** 32-bit words of a SHA-256. */
const LANES = 8;
const HEX_A_LANE = 8;

/** A sum of SHA-256 hashes: each of the eight 32-bit words modulo 2^32, so the order does not matter. */
export class HashSum {
  readonly #lanes: Uint32Array;

  constructor(lanes: Uint32Array = new Uint32Array(LANES)) {
    this.#lanes = lanes;
  }

  /** Returns the sum that {@link toString} wrote. */
  static parse(text: string): HashSum {
    const sum = new HashSum();
    for (let lane = 0; lane < LANES; lane += 1) {
      sum.#lanes[lane] = Number.parseInt(text.slice(lane * HEX_A_LANE, (lane + 1) * HEX_A_LANE), 16);
    }
    return sum;
  }

  copy(): HashSum {
    return new HashSum(this.#lanes.slice());
  }

  add(bytes: Uint8Array): void {
    this.#change(bytes, 1);
  }

  /** Subtracts a hash that was added. */
  subtract(bytes: Uint8Array): void {
    this.#change(bytes, -1);
  }

  /** 64 hexadecimal digits. */
  toString(): string {
    return Array.from(this.#lanes, (lane) => lane.toString(16).padStart(HEX_A_LANE, '0')).join('');
  }

  #change(bytes: Uint8Array, sign: 1 | -1): void {
    // A string with one character per byte takes half the time of a buffer.
    const words = hash('sha256', bytes, 'binary');
    for (let lane = 0; lane < LANES; lane += 1) {
      const at = 4 * lane;
      const high = (words.charCodeAt(at) << 24) | (words.charCodeAt(at + 1) << 16);
      const word = high | (words.charCodeAt(at + 2) << 8) | words.charCodeAt(at + 3);
      // Storing a lane takes it modulo 2^32.
      (this.#lanes[lane] as number) += sign * word;
    }
  }
}

/** Updates the digest of one namespace from one state to another. */
export class NamespaceDigest {
  /** Sum over the entries alone. */
  readonly #entries: HashSum;

  /** Starts from the digest of a state at `version`; without arguments, from a namespace without entries. */
  constructor(digest?: string, version = 0) {
    this.#entries = digest === undefined ? new HashSum() : HashSum.parse(digest);
    if (digest !== undefined) this.#entries.subtract(encode(version));
  }

  add(key: string, entry: StoredEntry): void {
    this.#entries.add(entryBytes(key, entry));
  }

  /** Subtracts an entry that was added. */
  remove(key: string, entry: StoredEntry): void {
    this.#entries.subtract(entryBytes(key, entry));
  }

  /** Returns the digest of the namespace with these entries, at `version`. */
  at(version: number): string {
    const sum = this.#entries.copy();
    // Entries are arrays and a version is a number, so their bytes always differ.
    sum.add(encode(version));
    return sum.toString();
  }
}

/** Returns bytes that differ for any two entries, as a MessagePack array knows its length. Valid until the next call. */
function entryBytes(key: string, { expiresAt, bytes }: StoredEntry): Uint8Array {
  writer.begin();
  writer.array(2);
  writer.text(key);
  writer.value(expiresAt);
  writer.raw(bytes);
  return writer.peek();
}

/** Returns the digest of a state that does not change meanwhile. */
export function digestOf({ entries, version }: NamespaceState): string {
  return digestOfEntries(entries, version);
}

/** Digest of a namespace that never existed. */
export function digestOfNothing(): string {
  return digestOfEntries([], 0);
}

/** Returns the digest of entries, each given once, at a version of their namespace. */
export function digestOfEntries(entries: Iterable<readonly [string, EntryRecord]>, version: number): string {
  const digest = new NamespaceDigest();
  for (const [key, entry] of entries) digest.add(key, encodeEntry(entry));
  return digest.at(version);
}

/** Returns the digest of all namespaces, by name. Excludes namespaces without an update, also `default`. */
export function digestOfAll(namespaces: Iterable<readonly [name: string, digest: string]>): string {
  const whole = createHash('sha256');
  for (const pair of [...namespaces].sort(([a], [b]) => compareNames(a, b))) whole.update(encode(pair));
  return whole.digest('hex');
}
