import { isUtf8 } from 'node:buffer';

/** Bytes a line may have at the most. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** A line of a text, without its end; or why it is none. */
export interface TextLine {
  /** From 1. */
  readonly number: number;
  /** `undefined`: see `problem`. */
  readonly text: string | undefined;
  readonly problem?: string;
}

const NEWLINE = 0x0a;
const TOO_LONG = `It is longer than ${MAX_LINE_BYTES} bytes.`;
const NOT_UTF8 = 'It is not UTF-8.';

/**
 * Cuts a file into lines as its pieces come; the last line needs no end. Holds one unfinished line at the most.
 *
 * @example
 * ```ts
 * const cutter = new LineCutter();
 * for await (const piece of stream) for (const { number, text } of cutter.push(piece)) console.log(number, text);
 * for (const { number, text } of cutter.end()) console.log(number, text);
 * ```
 */
export class LineCutter {
  readonly #maxBytes: number;
  #number = 0;
  /** The unfinished line, joined only at its end. */
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxBytes: number = MAX_LINE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that end in this piece. */
  push(piece: Uint8Array): TextLine[] {
    const end = piece.lastIndexOf(NEWLINE);
    if (end < 0) {
      this.#keep(piece);
      return [];
    }
    const lines: TextLine[] = [];
    let start = 0;
    if (this.#bytes > 0) {
      start = piece.indexOf(NEWLINE) + 1;
      this.#keep(piece.subarray(0, start - 1));
      lines.push(this.#finish());
    }
    if (start <= end) this.#cut(piece.subarray(start, end), lines);
    this.#keep(piece.subarray(end + 1));
    return lines;
  }

  /** What follows the last line end. */
  end(): TextLine[] {
    return this.#bytes > 0 ? [this.#finish()] : [];
  }

  /** Whole lines, the last one without its end: decoded together, which is several times faster than one by one. */
  #cut(bytes: Uint8Array, lines: TextLine[]): void {
    if (isUtf8(bytes)) {
      for (const text of textOf(bytes).split('\n')) lines.push(this.#line(text));
      return;
    }
    for (let start = 0; start <= bytes.length; ) {
      const next = bytes.indexOf(NEWLINE, start);
      const end = next < 0 ? bytes.length : next;
      lines.push(this.#decode(bytes.subarray(start, end)));
      start = end + 1;
    }
  }

  #keep(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes) this.#pieces = [];
    // A copy: the stream may use its buffer again.
    else if (piece.length > 0) this.#pieces.push(Uint8Array.from(piece));
  }

  #finish(): TextLine {
    const tooLong = this.#bytes > this.#maxBytes;
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return tooLong ? this.#line(undefined, TOO_LONG) : this.#decode(bytes);
  }

  #decode(bytes: Uint8Array): TextLine {
    return isUtf8(bytes) ? this.#line(textOf(bytes)) : this.#line(undefined, NOT_UTF8);
  }

  #line(text: string | undefined, problem?: string): TextLine {
    this.#number += 1;
    return problem === undefined ? { number: this.#number, text } : { number: this.#number, text, problem };
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
