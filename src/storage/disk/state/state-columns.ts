import { NameSet, type NameTable, NOWHERE } from '../../../core/tables/name-table.ts';
import { NumberColumn } from '../../../core/tables/number-column.ts';
import type { StoredNamespace } from '../records/state-records.ts';

/** What a page of a namespace is found by. */
export type Paged = Pick<StoredNamespace, 'name' | 'count' | 'pages'>;

/**
 * The namespaces of the state table, as a Map of {@link StoredNamespace}s would hold them, in a fifth of the room. The
 * objects are made for whoever asks for one.
 */
export class StateColumns {
  readonly #names: NameSet;
  readonly #version = new NumberColumn();
  readonly #position = new NumberColumn();
  readonly #count = new NumberColumn();
  readonly #bytes = new NumberColumn();
  readonly #pages = new NumberColumn(1);
  /** `Infinity`: never. */
  readonly #nextExpiryAt = new NumberColumn(Number.POSITIVE_INFINITY);
  readonly #digests = new DigestColumn();

  constructor(names: NameTable) {
    this.#names = new NameSet(names);
  }

  get size(): number {
    return this.#names.size;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  get(name: string): StoredNamespace | undefined {
    const place = this.#names.find(name);
    if (place === NOWHERE) return undefined;
    const nextExpiryAt = this.#nextExpiryAt.get(place);
    return {
      name,
      version: this.#version.get(place),
      position: this.#position.get(place),
      count: this.#count.get(place),
      bytes: this.#bytes.get(place),
      pages: this.#pages.get(place),
      nextExpiryAt: nextExpiryAt === Number.POSITIVE_INFINITY ? null : nextExpiryAt,
      digest: this.#digests.get(place),
    };
  }

  /** As {@link get}, for one who only reads an entry. */
  paged(name: string): Paged | undefined {
    const place = this.#names.find(name);
    if (place === NOWHERE) return undefined;
    return { name, count: this.#count.get(place), pages: this.#pages.get(place) };
  }

  set({ name, version, position, count, bytes, pages, nextExpiryAt, digest }: StoredNamespace): void {
    const place = this.#names.add(name);
    this.#version.set(place, version);
    this.#position.set(place, position);
    this.#count.set(place, count);
    this.#bytes.set(place, bytes);
    this.#pages.set(place, pages);
    this.#nextExpiryAt.set(place, nextExpiryAt ?? Number.POSITIVE_INFINITY);
    this.#digests.set(place, digest);
  }

  delete(name: string): void {
    const place = this.#names.delete(name);
    if (place !== NOWHERE) this.#forget(place);
  }

  /** Lets go of all. Call it once nobody uses this any more: the names are shared. */
  clear(): void {
    for (const place of this.#names.places()) this.#forget(place);
    this.#names.clear();
  }

  /** In no particular order. */
  names(): Iterable<string> {
    return this.#names.names();
  }

  /** Of every namespace the position of its last update, in no particular order. */
  *positions(): Generator<readonly [name: string, position: number]> {
    for (const place of this.#names.places()) yield [this.#names.table.nameAt(place), this.#position.get(place)];
  }

  #forget(place: number): void {
    this.#version.set(place, 0);
    this.#position.set(place, 0);
    this.#count.set(place, 0);
    this.#bytes.set(place, 0);
    this.#pages.set(place, 1);
    this.#nextExpiryAt.set(place, Number.POSITIVE_INFINITY);
    this.#digests.set(place, undefined);
  }
}

const DIGEST_BYTES = 32;
/** Digests of a chunk. */
const DIGESTS = 1024;

/** Digests by place, each in 32 bytes in place of 64 characters. */
class DigestColumn {
  readonly #chunks: Buffer[] = [];
  readonly #there = new NumberColumn();

  get(place: number): string | undefined {
    if (this.#there.get(place) === 0) return undefined;
    const at = (place % DIGESTS) * DIGEST_BYTES;
    return this.#chunks[Math.floor(place / DIGESTS)]?.toString('hex', at, at + DIGEST_BYTES);
  }

  set(place: number, digest: string | undefined): void {
    this.#there.set(place, digest === undefined ? 0 : 1);
    if (digest === undefined) return;
    const index = Math.floor(place / DIGESTS);
    while (this.#chunks.length <= index) this.#chunks.push(Buffer.alloc(DIGESTS * DIGEST_BYTES));
    this.#chunks[index]?.write(digest, (place % DIGESTS) * DIGEST_BYTES, 'hex');
  }
}
