import { createReadStream } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ContextCacheError, toError } from '../core/errors.ts';
import { type Line, type LineProblem, LineSplitter, MAX_LINE_BYTES } from '../wire/lines.ts';
import type { Candidate, CandidateBatch } from './candidate.ts';
import type { RawRecord } from './record.ts';
import type { RecordSource, ReplayIterable, SourceSettings } from './source.ts';
import { TextReader, unusable } from './text-reader.ts';

const PIECE_BYTES = 256 * 1024;
/** Number of single lines and objects in a batch. */
const ITEMS = 256;

/** Opens a file of lines. */
export function fileSource(path: string, bytes: number, settings: SourceSettings): RecordSource {
  const stream = createReadStream(path, { highWaterMark: PIECE_BYTES });
  const pieces = async function* () {
    try {
      yield* stream as AsyncIterable<Uint8Array>;
    } catch (cause) {
      const message = `${path} cannot be read to its end: ${toError(cause).message}`;
      throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause });
    }
  };
  return new TextSource(pieces(), settings, bytes, () => stream.destroy());
}

/** Opens an iterable of lines, pieces of a file, or objects. */
export function iterableSource(items: ReplayIterable, settings: SourceSettings): RecordSource {
  return new TextSource(items, settings, undefined, () => {});
}

class TextSource implements RecordSource {
  readonly #items: ReplayIterable;
  readonly #reader: TextReader;
  readonly #splitter = new LineSplitter();
  readonly #totalBytes: number | undefined;
  readonly #close: () => void;
  #bytes = 0;
  /** Number of lines and objects so far. */
  #count = 0;

  constructor(items: ReplayIterable, settings: SourceSettings, totalBytes: number | undefined, close: () => void) {
    const { limits, clock } = settings;
    this.#items = items;
    this.#reader = new TextReader({ limits, now: clock.now() });
    this.#totalBytes = totalBytes;
    this.#close = close;
  }

  get repeats(): boolean {
    return this.#reader.repeats;
  }

  async *batches(): AsyncGenerator<CandidateBatch> {
    let candidates: Candidate[] = [];
    let items = 0;
    for await (const item of this.#items) {
      this.#take(item, candidates);
      items += 1;
      if (items < ITEMS && !(item instanceof Uint8Array)) continue;
      yield { candidates, fraction: this.#fraction };
      candidates = [];
      items = 0;
      await nextTurn();
    }
    this.#readLines(this.#splitter.end(), candidates);
    yield { candidates, fraction: this.#fraction };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  get #fraction(): number | undefined {
    return this.#totalBytes === undefined ? undefined : Math.min(1, this.#bytes / Math.max(1, this.#totalBytes));
  }

  #take(item: unknown, candidates: Candidate[]): void {
    if (item instanceof Uint8Array) {
      this.#bytes += item.length;
      this.#readLines(this.#splitter.push(item), candidates);
    } else if (typeof item === 'string') {
      const text = item.endsWith('\n') ? item.slice(0, -1) : item;
      for (const line of text.split('\n')) this.#readLine(line, undefined, candidates);
    } else {
      this.#count += 1;
      const record =
        typeof item === 'object' && item !== null && !Array.isArray(item) ? (item as RawRecord) : undefined;
      const found =
        record === undefined
          ? unusable('unreadable', this.#count, undefined, 'It is neither text nor an object.')
          : this.#reader.readObject(this.#count, record);
      if (found !== undefined) candidates.push(found);
    }
  }

  #readLines(lines: readonly Line[], candidates: Candidate[]): void {
    for (const { text, problem } of lines) this.#readLine(text, problem, candidates);
  }

  #readLine(text: string | undefined, problem: LineProblem | undefined, candidates: Candidate[]): void {
    this.#count += 1;
    const found =
      text === undefined
        ? unusable('unreadable', this.#count, undefined, reasonOf(problem))
        : this.#reader.readLine(this.#count, text);
    if (found !== undefined) candidates.push(found);
  }
}

function reasonOf(problem: LineProblem | undefined): string {
  return problem === 'too long' ? `It is longer than ${MAX_LINE_BYTES} bytes.` : 'It is not UTF-8.';
}
