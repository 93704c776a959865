import { createHash, hash } from 'node:crypto';
import { compareNames } from '../names.ts';
import type { EntryRecord, NamespaceState } from '../namespace-state.ts';
import { encode } from './codec.ts';
import { encodeEntry, type StoredEntry } from './entry-codec.ts';
import { MessageWriter } from './message-writer.ts';

/**
 * Digests of state. That of a namespace is a sum over its entries, so that a change costs the hash of what was there
 * and the hash of what is there now, however large the namespace is. It finds damage and mistakes; it is no proof
 * against one who makes up entries until their sums agree. Part of the format: `docs/formats.md`.
 */

const writer = new MessageWriter();

/** 32-bit words of a SHA-256. */
const LANES = 8;
const HEX_A_LANE = 8;

/** A sum of SHA-256 hashes, each of the eight 32-bit words for itself, modulo 2^32: in whatever order they come. */
export class HashSum {
  readonly #lanes: Uint32Array;

  constructor(lanes: Uint32Array = new Uint32Array(LANES)) {
    this.#lanes = lanes;
  }

  /** The sum that {@link toString} gave. */
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

  /** Takes out what was added. */
  subtract(bytes: Uint8Array): void {
    this.#change(bytes, -1);
  }

  /** 64 hexadecimal digits. */
  toString(): string {
    return Array.from(this.#lanes, (lane) => lane.toString(16).padStart(HEX_A_LANE, '0')).join('');
  }

  #change(bytes: Uint8Array, sign: 1 | -1): void {
    // A string with a character for each byte is had in half the time that a buffer takes.
    const words = hash('sha256', bytes, 'binary');
    for (let lane = 0; lane < LANES; lane += 1) {
      const at = 4 * lane;
      const high = (words.charCodeAt(at) << 24) | (words.charCodeAt(at + 1) << 16);
      const word = high | (words.charCodeAt(at + 2) << 8) | words.charCodeAt(at + 3);
      // What is stored in a lane is taken modulo 2^32.
      (this.#lanes[lane] as number) += sign * word;
    }
  }
}

/** The digest of one namespace, on its way from one state to another. */
export class NamespaceDigest {
  /** Of the entries alone. */
  readonly #entries: HashSum;

  /** Begins with the digest of a state at `version`; without them with a namespace that has no entries. */
  constructor(digest?: string, version = 0) {
    this.#entries = digest === undefined ? new HashSum() : HashSum.parse(digest);
    if (digest !== undefined) this.#entries.subtract(encode(version));
  }

  add(key: string, entry: StoredEntry): void {
    this.#entries.add(entryBytes(key, entry));
  }

  /** Takes out an entry that is in it. */
  remove(key: string, entry: StoredEntry): void {
    this.#entries.subtract(entryBytes(key, entry));
  }

  /** The digest of the namespace with these entries, at `version`. */
  at(version: number): string {
    const sum = this.#entries.copy();
    // A number is never an array, so that a version is never taken for an entry.
    sum.add(encode(version));
    return sum.toString();
  }
}

/** No two entries have the same bytes: a MessagePack array tells where it ends. To be used at once. */
function entryBytes(key: string, { expiresAt, bytes }: StoredEntry): Uint8Array {
  writer.begin();
  writer.array(2);
  writer.text(key);
  writer.value(expiresAt);
  writer.raw(bytes);
  return writer.peek();
}

/** The digest of a state that does not change meanwhile. */
export function digestOf({ entries, version }: NamespaceState): string {
  return digestOfEntries(entries, version);
}

/** The digest of a namespace that has never been. */
export function digestOfNothing(): string {
  return digestOfEntries([], 0);
}

/** The digest of entries, each of which comes once, at a version of their namespace. */
export function digestOfEntries(entries: Iterable<readonly [string, EntryRecord]>, version: number): string {
  const digest = new NamespaceDigest();
  for (const [key, entry] of entries) digest.add(key, encodeEntry(entry));
  return digest.at(version);
}

/** The digest of all namespaces there are, by name. One without an update is none, `default` as any other. */
export function digestOfAll(namespaces: Iterable<readonly [name: string, digest: string]>): string {
  const whole = createHash('sha256');
  for (const pair of [...namespaces].sort(([a], [b]) => compareNames(a, b))) whole.update(encode(pair));
  return whole.digest('hex');
}
