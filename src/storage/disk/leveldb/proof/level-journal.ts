import { maskedChecksum, type SlicedFile } from './sliced-file.ts';

/**
 * Format of LevelDB's record files, the write-ahead log and the manifest: blocks of 32 KiB that hold fragments of
 * records, each after a header of a masked CRC-32C (4 bytes), a length (2) and a kind (1). A rest of a block that is
 * too short for a header is filled with zeros.
 */
const BLOCK = 32 * 1024;
const HEADER = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** Damage in a file. */
export interface Damage {
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly problem: string;
}

/** A whole record, with its bytes if they were asked for. */
export interface JournalRecord {
  readonly record: Buffer;
}

interface Fragment {
  readonly offset: number;
  readonly kind: number;
  readonly payload: Buffer;
}

/**
 * Reads the records, and the damage between them. Damage that no whole record follows is the end of the file: a record
 * that was being written when the process or machine stopped, and that was never acknowledged.
 */
export async function* readJournal(file: SlicedFile, keep: boolean): AsyncGenerator<JournalRecord | Damage> {
  const assembler = new Assembler(keep);
  for (let base = 0; base < file.size; base += BLOCK) {
    const block = await file.read(base, BLOCK);
    for (const piece of piecesOf(block, base)) {
      if ('problem' in piece) assembler.doubt(piece);
      else yield* assembler.take(piece);
    }
  }
}

/** Joins fragments to records. */
class Assembler {
  readonly #keep: boolean;
  #begun: { readonly offset: number; readonly parts: Buffer[] } | undefined;
  /** The first damage since the last whole record. */
  #doubt: Damage | undefined;

  constructor(keep: boolean) {
    this.#keep = keep;
  }

  doubt(damage: Damage): void {
    this.#doubt ??= damage;
    this.#begun = undefined;
  }

  *take({ offset, kind, payload }: Fragment): Generator<JournalRecord | Damage> {
    const begins = kind === FULL || kind === FIRST;
    if (begins && this.#begun !== undefined) {
      this.doubt({ offset: this.#begun.offset, problem: 'a record without its end' });
    }
    if (!begins && this.#begun === undefined) this.doubt({ offset, problem: 'a record without its beginning' });
    if (begins) this.#begun = { offset, parts: [] };
    if (this.#begun === undefined) return;
    // The next block overwrites the payload.
    if (this.#keep) this.#begun.parts.push(Buffer.from(payload));
    if (kind === FIRST || kind === MIDDLE) return;
    if (this.#doubt !== undefined) yield this.#doubt;
    this.#doubt = undefined;
    yield { record: Buffer.concat(this.#begun.parts) };
    this.#begun = undefined;
  }
}

function* piecesOf(block: Buffer, base: number): Generator<Fragment | Damage> {
  let at = 0;
  while (block.length - at >= HEADER) {
    const problem = problemAt(block, at);
    if (problem === undefined) {
      const end = endOf(block, at);
      yield { offset: base + at, kind: block.readUInt8(at + 6), payload: block.subarray(at + HEADER, end) };
      at = end;
    } else {
      yield { offset: base + at, problem };
      at = nextBeginning(block, at + 1);
    }
  }
  if (block.length === BLOCK && block.subarray(at).some((byte) => byte !== 0)) {
    yield { offset: base + at, problem: 'the padding at the end of a block is not zero' };
  }
}

function endOf(block: Buffer, at: number): number {
  return at + HEADER + block.readUInt16LE(at + 4);
}

function problemAt(block: Buffer, at: number): string | undefined {
  const end = endOf(block, at);
  const kind = block.readUInt8(at + 6);
  if (kind === 0 && end === at + HEADER) return 'zeros instead of a record';
  if (end > block.length) return 'a record extends beyond its block';
  if (block.readUInt32LE(at) !== maskedChecksum(block.subarray(at + 6, end))) {
    return 'a record does not match its checksum';
  }
  return kind < FULL || kind > LAST ? 'a record of an unknown kind' : undefined;
}

/** Returns where the next record starts after one whose length is not reliable. */
function nextBeginning(block: Buffer, from: number): number {
  for (let at = from; block.length - at >= HEADER; at += 1) {
    const kind = block.readUInt8(at + 6);
    // A record that continues in the next block fills its own.
    const likely =
      kind === FULL ? endOf(block, at) <= block.length : kind === FIRST && endOf(block, at) === block.length;
    if (likely && problemAt(block, at) === undefined) return at;
  }
  return block.length;
}
