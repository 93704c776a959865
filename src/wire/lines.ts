import { isUtf8 } from 'node:buffer';
import { ContextCacheError } from '../core/errors.ts';

/** Bytes a line may have at the most. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** A line of a stream, without its end. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** `undefined` where the line is longer than allowed; its bytes are not kept. */
  readonly bytes: Buffer | undefined;
}

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = Buffer.from('\u{feff}');

/**
 * Cuts a stream of bytes into lines, those of one chunk at a time; the last one needs no end. Holds one unfinished
 * line at the most.
 */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number = MAX_LINE_BYTES,
): AsyncGenerator<Line[]> {
  const splitter = new LineSplitter(maxBytes);
  for await (const chunk of source) {
    const lines = splitter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (lines.length > 0) yield lines;
  }
  const last = splitter.end();
  if (last !== undefined) yield [last];
}

class LineSplitter {
  readonly #maxBytes: number;
  #number = 0;
  /** The unfinished line: its pieces are joined only at its end. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  #tooLong = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#add(chunk.subarray(start, end));
      lines.push(this.#finish());
      start = end + 1;
    }
    if (start < chunk.length) this.#add(chunk.subarray(start));
    return lines;
  }

  /** What follows the last line end. */
  end(): Line | undefined {
    return this.#bytes > 0 || this.#tooLong ? this.#finish() : undefined;
  }

  #add(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= this.#maxBytes) {
      this.#pieces.push(piece);
    } else {
      this.#tooLong = true;
      this.#pieces = [];
    }
  }

  #finish(): Line {
    this.#number += 1;
    const [first = Buffer.alloc(0)] = this.#pieces;
    const bytes = this.#pieces.length > 1 ? Buffer.concat(this.#pieces) : first;
    const line = { number: this.#number, bytes: this.#tooLong ? undefined : bytes };
    this.#pieces = [];
    this.#bytes = 0;
    this.#tooLong = false;
    return line;
  }
}

/**
 * The JSON value of a line; `undefined` for a blank one. A byte order mark before the first line is passed over.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`: the line is too long, not UTF-8 or not JSON. What it holds is not told.
 */
export function parseLine({ number, bytes }: Line): unknown {
  if (bytes === undefined) throw invalid(`The line is longer than ${MAX_LINE_BYTES} bytes. Split the command.`);
  const marked = number === 1 && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const text = decodeUtf8(marked ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes);
  return /^[ \t\r]*$/.test(text) ? undefined : parseJson(text);
}

/**
 * Bytes that must be UTF-8 as text.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function decodeUtf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw invalid('It is not valid UTF-8. Save the text as UTF-8.');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/**
 * Text that must be JSON as a value.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`; the parser's own message is left out, as it quotes the text.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = /at position (\d+)/.exec(String(error))?.[1];
    const where = place === undefined ? '' : ` at character ${Number(place) + 1}`;
    throw invalid(`It is not valid JSON${where}. Write one command as JSON on a line.`);
  }
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_COMMAND', problem);
}
