import type { Random } from '../support.ts';

const PAGE = 4096;
const EMPTY = Buffer.alloc(PAGE);

/** Bytes in pages that are replaced and never changed. A page that is not there is all zeros. */
class Pages {
  length = 0;
  readonly #pages: Map<number, Buffer>;

  constructor(pages: Iterable<readonly [number, Buffer]> = [], length = 0) {
    this.#pages = new Map(pages);
    this.length = length;
  }

  copy(): Pages {
    return new Pages(this.#pages, this.length);
  }

  page(index: number): Buffer {
    return this.#pages.get(index) ?? EMPTY;
  }

  put(index: number, page: Buffer): void {
    if (page === EMPTY) this.#pages.delete(index);
    else this.#pages.set(index, page);
  }

  /** A byte behind the last page that is not all zeros, by one page more: what is written may end with zeros. */
  get used(): number {
    let last = -1;
    for (const index of this.#pages.keys()) last = Math.max(last, index);
    return Math.min(this.length, (last + 2) * PAGE);
  }

  /** Replaces a page by one with these bytes. */
  write(index: number, bytes: Uint8Array, at: number): void {
    if (!this.#pages.has(index) && EMPTY.compare(bytes, 0, bytes.length, 0, bytes.length) === 0) return;
    const page = Buffer.from(this.page(index));
    page.set(bytes, at);
    this.#pages.set(index, page);
  }

  /** Drops what lies behind the end. A later extension then reads zeros. */
  cutTo(length: number): void {
    this.length = length;
    for (const index of [...this.#pages.keys()]) {
      if (index * PAGE >= length) this.#pages.delete(index);
      else if ((index + 1) * PAGE > length) this.put(index, mix(this.page(index), EMPTY, length - index * PAGE));
    }
  }
}

/**
 * A file of a simulated disk: its content as processes see it, and what of it a power cut leaves. A power cut keeps, loses
 * or tears each page that was not synced.
 */
export class SimFile {
  #content = new Pages();
  #disk = new Pages();
  /** Pages that the next sync stores. */
  readonly #dirty = new Set<number>();
  /** Pages that differ from those on disk and that no sync stores, because a write of them has failed. */
  readonly #forgotten = new Set<number>();

  get length(): number {
    return this.#content.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    const end = offset + bytes.length;
    this.#content.length = Math.max(this.#content.length, end);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / PAGE);
      const take = Math.min(end, (index + 1) * PAGE) - at;
      this.#content.write(index, bytes.subarray(at - offset, at - offset + take), at - index * PAGE);
      this.#forgotten.delete(index);
      this.#dirty.add(index);
      at += take;
    }
  }

  /** `isShort`: reads as if the zeros at the end were not there. */
  read(target: Uint8Array, offset: number, isShort = false): number {
    const end = Math.min(isShort ? this.#content.used : this.#content.length, offset + target.length);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / PAGE);
      const take = Math.min(end, (index + 1) * PAGE) - at;
      const page = this.#content.page(index);
      if (page === EMPTY) target.fill(0, at - offset, at - offset + take);
      else target.set(page.subarray(at - index * PAGE, at - index * PAGE + take), at - offset);
      at += take;
    }
    return Math.max(0, end - offset);
  }

  truncate(length: number): void {
    for (let at = length; at < this.#content.length; at += PAGE) this.#dirty.add(Math.floor(at / PAGE));
    if (length < this.#content.length) this.#dirty.add(Math.floor((this.#content.length - 1) / PAGE));
    this.#content.cutTo(length);
  }

  /** Stores what was written since the last sync. */
  sync(): void {
    for (const index of this.#dirty) this.#disk.put(index, this.#content.page(index));
    this.#dirty.clear();
    this.#disk.length = this.#content.length;
  }

  /** A write or sync has failed. As Linux does, it forgets that pages are still to be written. */
  forget(random: Random): void {
    for (const index of this.#dirty) {
      if (random.below(2) === 0) this.#disk.put(index, this.#content.page(index));
      else this.#forgotten.add(index);
    }
    this.#dirty.clear();
  }

  powerCut(random: Random): void {
    for (const index of [...this.#dirty, ...this.#forgotten]) {
      const [old, young] = [this.#disk.page(index), this.#content.page(index)];
      const roll = random.below(5);
      if (roll < 2) this.#disk.put(index, young);
      else if (roll < 3) this.#disk.put(index, mix(young, old, random.below(PAGE)));
    }
    const lengths = [this.#disk.length, this.#content.length].sort((a, b) => a - b) as [number, number];
    this.#disk.cutTo(
      lengths[0] + [0, lengths[1] - lengths[0], random.below(lengths[1] - lengths[0] + 1)][random.below(3)]!,
    );
    this.#dirty.clear();
    this.#forgotten.clear();
    this.#content = this.#disk.copy();
  }
}

/** Returns the first bytes of one page and the rest of another one. */
function mix(first: Buffer, rest: Buffer, at: number): Buffer {
  return Buffer.concat([first.subarray(0, at), rest.subarray(at)]);
}
