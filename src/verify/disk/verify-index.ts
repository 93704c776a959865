import { crc32 } from 'node:zlib';
import { NamespaceDigest } from '../../core/encoding/digest.ts';
import { decodeEntry, encodeEntry, type StoredEntry } from '../../core/encoding/entry-codec.ts';
import type { EntryRecord, NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import type { PinnedStorage } from '../../storage/disk/index/leveldb/pinned-storage.ts';
import { corrupt } from '../../storage/disk/index/leveldb/sealed.ts';
import { type FoundFrame, PastReader } from '../../storage/disk/index/past/past-reader.ts';
import { PastTimes } from '../../storage/disk/index/past/past-times.ts';
import { CHUNK_UPDATES, type PastSummary } from '../../storage/disk/index/records/past-records.ts';
import type { Progress } from '../../storage/disk/index/records/progress.ts';
import { decodePage, pageKey, type StoredNamespace } from '../../storage/disk/index/records/state-records.ts';
import { pageOf } from '../../storage/disk/index/state/state-hash.ts';
import type { LocatedUpdate, UpdateLocation } from '../../storage/disk/log/logged-update.ts';
import { weigh } from '../../storage/update-ring.ts';
import type { Findings, VerifyLocation } from '../verify-findings.ts';
import { digestOfEntries, type Fold } from './fold.ts';
import { IndexRecords } from './index-records.ts';

/** Path of the index in the directory. Findings name the record in it. */
const FILE = 'db/index';
/** Number of pages read at a time. */
const PAGES = 64;
/** Estimated bytes of an entry in memory without its value. */
const ENTRY_BYTES = 256;
/** Number of keys that are reported for a namespace that differs. */
const REPORTED_KEYS = 5;

/** The past of a namespace while the log is folded beside it. */
interface Track {
  /** First position whose update the index keeps and the log behind the base has. */
  readonly from: number;
  /** First ordinal at or behind that position. */
  readonly first: number;
  /** Number of the next update. */
  ordinal: number;
  /** Checksum over position and location of the updates so far. */
  checksum: number;
  last: number;
  /** Copies of the namespace that are still to be compared, oldest first. */
  readonly frames: FoundFrame[];
  /** Positions at which it was created or dropped. */
  lives: number[];
}

/**
 * Compares an index with the fold of the log that it is derived from: the past update by update, each copy of a namespace
 * at its ordinal, and the state at the checkpoint.
 */
export class IndexCheck {
  readonly progress: Progress;
  isWrong = false;
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #base: number;
  readonly #records: IndexRecords;
  readonly #reader: PastReader;
  readonly #times: PastTimes;
  /** The pasts that were met in the log; `undefined` for one that cannot be read. */
  readonly #tracks = new Map<string, Track | undefined>();
  /** Namespaces with updates and without a past, and their last positions. */
  readonly #pastless = new Map<string, number>();
  /** Latest instant and total bytes so far; `undefined` before the first update that counts, `null` after an error. */
  #time: { readonly at: number; readonly bytes: number } | undefined | null;

  /** `base` is the position of the base file. */
  constructor(storage: PinnedStorage, progress: Progress, base: number, findings: Findings) {
    this.progress = progress;
    this.#storage = storage;
    this.#findings = findings;
    this.#base = base;
    const read = (key: string) => storage.getSync(key);
    const updateAt = () => {
      throw new Error('The log is read in order.');
    };
    this.#reader = new PastReader(read, { updateAt });
    this.#times = new PastTimes(read, () => progress.checkpoint - progress.begins);
    this.#records = new IndexRecords(storage, progress, findings, (where, thrown) => this.#fail(where, thrown));
  }

  /** Estimated bytes of the state in memory. */
  get bytes(): number {
    let bytes = 0;
    for (const state of this.#records.states.values()) bytes += state.bytes + ENTRY_BYTES * (state.count + 1);
    return bytes;
  }

  /** Reads and checks every record. */
  read(): Promise<void> {
    return this.#records.read();
  }

  /** Compares the past with an update that is about to be folded. Returns a promise if that takes longer. */
  take(update: LocatedUpdate, fold: Fold): Promise<void> | undefined {
    const { namespace, position, drop } = update;
    this.#takeTime(update);
    if (!fold.holds(namespace)) return undefined;
    const track = this.#track(namespace);
    if (track === undefined) {
      if (!this.#records.pasts.has(namespace)) this.#pastless.set(namespace, position);
      return undefined;
    }
    if (position < track.from) return undefined;
    const frames = track.frames[0]?.ordinal === track.ordinal ? this.#due(track) : undefined;
    const state = fold.get(namespace);
    if (state === undefined || drop) track.lives.push(position);
    if (state === undefined && drop) track.lives.push(position);
    if (track.lives.length > 4096) track.lives = track.lives.slice(-2048);
    track.checksum = checksumAfter(track.checksum, position, update, drop);
    track.ordinal += 1;
    track.last = position;
    return frames && this.#compareFrames(namespace, frames, state);
  }

  /** Takes the copies of the state before the next update. */
  #due(track: Track): FoundFrame[] {
    const later = track.frames.findIndex(({ ordinal }) => ordinal !== track.ordinal);
    return track.frames.splice(0, later === -1 ? track.frames.length : later);
  }

  /** Compares everything with the fold, which has reached the checkpoint. */
  async compare(fold: Fold): Promise<void> {
    const { states, pasts } = this.#records;
    for (const name of new Set([...states.keys(), ...fold.names()])) {
      if (!fold.holds(name)) continue;
      await this.#guarded({ namespace: name }, () => this.#compareState(states.get(name), fold.get(name), name));
    }
    for (const summary of pasts.values()) {
      if (!fold.holds(summary.name)) continue;
      await this.#guarded({ namespace: summary.name }, () => this.#comparePast(summary, fold));
    }
    for (const [namespace, last] of this.#pastless) {
      if (last > this.progress.trimmed) this.#add({ namespace }, 'The namespace has updates but no past.');
    }
    this.#tracks.clear();
    this.#pastless.clear();
    // The instants do not belong to namespaces: they were compared with the first part.
    this.#time = null;
  }

  #track(name: string): Track | undefined {
    if (this.#tracks.has(name)) return this.#tracks.get(name);
    const summary = this.#records.pasts.get(name);
    let track: Track | undefined;
    try {
      track = summary && this.#begin(summary);
    } catch (error) {
      this.#fail({ namespace: name }, error);
    }
    if (summary !== undefined) this.#tracks.set(name, track);
    return track;
  }

  #begin(summary: PastSummary): Track {
    const { name, count } = summary;
    const chunks = this.#reader.chunks();
    const first = this.#reader.countAt(summary, this.#base, chunks);
    const from = first < count ? this.#reader.positionAt(name, first, chunks) : Number.POSITIVE_INFINITY;
    // Copies from before the base cannot be folded again.
    const frames = [...this.#reader.framesOf(summary)].filter(({ ordinal }) => ordinal >= first);
    return { from, first, ordinal: first, checksum: 0, last: 0, frames, lives: [] };
  }

  #takeTime(update: Update): void {
    const { position, at } = update;
    const { begins, since } = this.progress;
    if (this.#time === null || position <= since) return;
    const ordinal = position - begins - 1;
    try {
      this.#time ??= ordinal === 0 ? { at: 0, bytes: 0 } : this.#times.upTo(ordinal - 1);
      this.#time = { at: Math.max(this.#time.at, at), bytes: this.#time.bytes + weigh(update) };
      const stored = this.#times.upTo(ordinal);
      if (stored.at === this.#time.at && stored.bytes === this.#time.bytes) return;
      throw corrupt(`The instants of updates differ from the log`);
    } catch (error) {
      this.#time = null;
      this.#fail({ position }, error);
    }
  }

  async #compareFrames(
    namespace: string,
    frames: readonly FoundFrame[],
    state: NamespaceState | undefined,
  ): Promise<void> {
    for (const frame of frames) await this.#compareFrame(namespace, frame, state);
  }

  async #compareFrame(namespace: string, frame: FoundFrame, state: NamespaceState | undefined): Promise<void> {
    await this.#guarded({ namespace, position: frame.position }, async () => {
      const entries: [string, EntryRecord][] = [];
      for (let page = 0; page < frame.pages; page += 1) {
        for (const [key, stored] of this.#reader.framePage(frame, page)) entries.push([key, decodeEntry(stored)]);
        await this.#findings.step('namespaces', this.#findings.counts.namespaces);
      }
      this.#findings.counts.copies += 1;
      const { keepsValues } = this.progress;
      const digest = (of: Iterable<readonly [string, EntryRecord]>, version: number) =>
        digestOfEntries(of, version, keepsValues, this.#findings);
      const { version, position, ordinal } = frame;
      // The copy may lie between a drop and the next update: a namespace that does not exist has version 0 and no entries.
      const due = state ?? { version: 0, position, entries: [] };
      const isSame = due.version === version && due.position === position && entries.length === frame.entries;
      if (isSame && (await digest(entries, version)) === (await digest(due.entries, version))) return;
      throw corrupt(`The copy before update ${ordinal} of the namespace is not what the updates before it lead to`);
    });
  }

  async #compareState(
    stored: StoredNamespace | undefined,
    state: NamespaceState | undefined,
    namespace: string,
  ): Promise<void> {
    if (stored === undefined) throw corrupt('The namespace is missing in the index');
    this.#findings.counts.namespaces += 1;
    if (state === undefined) throw corrupt('The namespace is in the index, but does not exist');
    const found = { version: state.version, position: state.position, count: state.entries.size, bytes: state.bytes };
    for (const what of ['version', 'position', 'count', 'bytes'] as const) {
      if (found[what] === stored[what]) continue;
      this.#add({ namespace }, `The index has ${stored[what]} as ${what}; the log leads to ${found[what]}.`);
    }
    // A lower bound for a namespace of several pages: it may be too early, never too late.
    const next = state.nextExpiryAt();
    const known = stored.nextExpiryAt ?? Number.POSITIVE_INFINITY;
    if (stored.pages === 1 ? known !== next : known > next) {
      this.#add({ namespace }, `The index has ${known} as the next expiry; the log leads to ${next}.`);
    }
    const folded = await digestOfEntries(state.entries, state.version, this.progress.keepsValues, this.#findings);
    if (folded !== stored.digest)
      this.#add({ namespace }, 'The digest in the index differs from what the log leads to.');
    if (folded !== (await this.#digestOfPages(stored))) await this.#reportKeys(stored, state);
  }

  async #digestOfPages(stored: StoredNamespace): Promise<string> {
    const digest = new NamespaceDigest();
    for await (const [, key, entry] of this.#pages(stored)) {
      digest.add(key, entry);
      this.#findings.counts.entries += 1;
      await this.#findings.step('namespaces', this.#findings.counts.namespaces);
    }
    return digest.at(stored.version);
  }

  async *#pages({ name, pages, count }: StoredNamespace): AsyncGenerator<[string, string, StoredEntry]> {
    for (let first = 0; first < pages; first += PAGES) {
      const keys = Array.from({ length: Math.min(PAGES, pages - first) }, (_, index) => pageKey(name, first + index));
      for (const [index, bytes] of (await this.#storage.getMany(keys)).entries()) {
        const record = keys[index] as string;
        try {
          if (bytes === undefined && count > 0) throw corrupt('A page of the index is missing');
          for (const [key, entry] of decodePage(bytes)) {
            if (pageOf(key, pages) !== first + index) {
              this.#add({ record, namespace: name, key }, 'The entry is in the wrong page.');
            }
            yield [record, key, entry];
          }
        } catch (error) {
          this.#fail({ record, namespace: name }, error);
        }
      }
    }
  }

  /** Reports some of the keys that differ. */
  async #reportKeys(stored: StoredNamespace, { name: namespace, entries }: NamespaceState): Promise<void> {
    let differing = 0;
    const report = (where: VerifyLocation, message: string) => {
      differing += 1;
      if (differing <= REPORTED_KEYS) this.#add({ namespace, ...where }, message);
    };
    const met = new Set<string>();
    for await (const [record, key, { bytes, expiresAt }] of this.#pages(stored)) {
      met.add(key);
      const entry = entries.get(key);
      const due = entry && encodeEntry(this.progress.keepsValues ? entry : { ...entry, value: undefined });
      if (due !== undefined && due.expiresAt === expiresAt && Buffer.compare(due.bytes, bytes) === 0) continue;
      report({ record, key }, 'The entry differs from what the log leads to.');
    }
    for (const key of entries.keys()) {
      if (!met.has(key))
        report({ record: pageKey(namespace, pageOf(key, stored.pages)), key }, 'The entry is missing.');
    }
    if (differing > REPORTED_KEYS) this.#add({ namespace }, `${differing} entries differ from what the log leads to.`);
  }

  async #comparePast(summary: PastSummary, fold: Fold): Promise<void> {
    const { name, count, last, lives, livedBefore } = summary;
    const track = this.#track(name);
    if (track === undefined) return;
    if (track.ordinal !== count || (track.ordinal > track.first && track.last !== last)) {
      throw corrupt(
        `The past ends with update ${count} at position ${last}; in the log it is ${track.ordinal} at ${track.last}`,
      );
    }
    if (track.checksum !== this.#checksumOf(summary, track)) {
      throw corrupt('The past does not refer to the updates that the log holds');
    }
    if (track.frames.some(({ ordinal }) => ordinal !== count)) {
      throw corrupt('A copy of the namespace does not belong to its updates');
    }
    await this.#compareFrames(name, track.frames, fold.get(name));
    // Earlier lives were released.
    const isLater = (position: number) => position >= track.from && position > this.progress.trimmed;
    const [known, met] = [lives.filter(isLater), track.lives.filter(isLater)];
    const isSame = known.every((position, at) => position === met[met.length - known.length + at]);
    if (!isSame || (known.length < met.length && !livedBefore)) throw corrupt('The recorded lives differ from the log');
  }

  #checksumOf({ name, count }: PastSummary, { first }: Track): number {
    const chunks = this.#reader.chunks();
    let checksum = 0;
    for (let ordinal = first; ordinal < count; ordinal += 1) {
      const { positions, locations, drops } = chunks.of(name, ordinal);
      const at = ordinal % CHUNK_UPDATES;
      checksum = checksumAfter(checksum, positions[at] ?? 0, locations[at] ?? NOWHERE, drops[at] === true);
    }
    return checksum;
  }

  async #guarded(where: VerifyLocation, task: () => Promise<void>): Promise<void> {
    await task().catch((error) => this.#fail(where, error));
    await this.#findings.step('namespaces', this.#findings.counts.namespaces);
  }

  #fail(where: VerifyLocation, thrown: unknown): void {
    this.isWrong = true;
    this.#findings.addError('index', { file: FILE, ...where }, thrown);
  }

  #add(where: VerifyLocation, message: string): void {
    this.isWrong = true;
    this.#findings.add('index', { file: FILE, ...where }, message);
  }
}

const NOWHERE: UpdateLocation = { offset: 0, length: 0, checksum: 0 };
const buffer = Buffer.alloc(33);

function checksumAfter(before: number, position: number, location: UpdateLocation, drop: boolean): number {
  const { offset, length, checksum } = location;
  buffer.writeDoubleLE(position, 0);
  buffer.writeDoubleLE(offset, 8);
  buffer.writeDoubleLE(length, 16);
  buffer.writeDoubleLE(checksum, 24);
  buffer[32] = drop ? 1 : 0;
  return crc32(buffer, before);
}
