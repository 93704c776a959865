import { ContextCacheError, toError } from '../core/errors.ts';
import { ParsedValueDoor } from '../core/parsed-value.ts';
import { ValueDoor, type ValueLimits } from '../core/value.ts';
import { type Candidate, plain } from './candidate.ts';
import { type ReplayProblemKind, ReplayRefusedError } from './problem.ts';
import { readMessage } from './public-record.ts';
import { checkFormat, type Door, type RawRecord, RECORD_FORMAT, readRecord } from './record.ts';

/** Options for reading records. */
export interface ReadSettings {
  readonly limits: ValueLimits;
  /** Replaces the instant of a message that has none, epoch milliseconds. */
  readonly now: number;
}

/** Lines that `nats sub` and `nats stream view` print around a message. */
const AROUND_MESSAGES = [
  // [#12] Received on "agents.context" with reply "…", [12] Subject: agents.context Received: …
  /^\[#?\d+\]/,
  // 09:41:07 Subscribing on agents.context
  /^(\d{4}[-/]\d\d[-/]\d\d )?\d\d:\d\d:\d\d /,
  // NATS/1.0, and headers such as Nats-Msg-Id: …
  /^NATS\/\d/,
  /^[A-Za-z][\w-]*:( |$)/,
];

/**
 * Reads the lines of an exported log, or of messages captured from a topic. The first line that is not blank decides
 * which of the two it is. In a capture, the lines that the `nats` program prints around the messages are skipped.
 */
export class TextReader {
  readonly #settings: ReadSettings;
  readonly #door: ValueDoor;
  readonly #parsedDoor: ParsedValueDoor;
  #kind: 'unknown' | 'log' | 'messages' = 'unknown';

  constructor(settings: ReadSettings) {
    this.#settings = settings;
    this.#door = new ValueDoor(settings.limits);
    this.#parsedDoor = new ParsedValueDoor(settings.limits);
  }

  /** `true` if the source may repeat a record: a topic delivers at least once. */
  get repeats(): boolean {
    return this.#kind === 'messages';
  }

  /** Reads a line. Returns `undefined` if it holds no record. */
  readLine(number: number, line: string): Candidate | undefined {
    const text = this.#kind === 'unknown' && line.startsWith('\u{feff}') ? line.slice(1) : line;
    if (text.startsWith('{')) return this.#readJson(number, text);
    if (/^\s*$/.test(text)) return undefined;
    if (this.#kind !== 'log' && AROUND_MESSAGES.some((pattern) => pattern.test(text))) {
      this.#kind = 'messages';
      return undefined;
    }
    return unusable('unreadable', number, undefined, 'It is not a JSON object.');
  }

  /** Reads an object of the caller's. Returns `undefined` for a header. */
  readObject(number: number, record: RawRecord): Candidate | undefined {
    return this.#read(number, record, this.#door);
  }

  #readJson(number: number, text: string): Candidate | undefined {
    let record: RawRecord;
    try {
      record = JSON.parse(text) as RawRecord;
    } catch {
      // The parser's own message quotes the text, which may contain a value.
      return unusable('unreadable', number, undefined, 'It is not valid JSON; it may have been cut short.');
    }
    return this.#read(number, record, this.#parsedDoor);
  }

  #read(number: number, record: RawRecord, door: Door): Candidate | undefined {
    if (this.#kind === 'unknown') {
      this.#kind = 'event_type' in record ? 'messages' : 'log';
      if (this.#kind === 'log' && isHeader(record)) return this.#readHeader(number, record);
    }
    try {
      if (this.#kind === 'messages') return readMessage(record, door, { line: number, at: this.#settings.now });
      checkFormat(record.format ?? RECORD_FORMAT);
      return plain(number, readRecord(record, door));
    } catch (error) {
      return unreadable(number, record.position, error);
    }
  }

  /** Refuses a header of an unknown format even with `repair`, because no record could be read. */
  #readHeader(number: number, { format }: RawRecord): undefined {
    try {
      checkFormat(format);
    } catch (error) {
      throw new ReplayRefusedError({ kind: 'format', line: number, reason: toError(error).message });
    }
  }
}

/** Returns whether the record is a header, `{"format":1,"log":"…"}`, which describes the lines after it. */
function isHeader(record: RawRecord): boolean {
  return record.format !== undefined && record.operation === undefined && record.position === undefined;
}

/** Returns a candidate for a record whose reading threw an error. */
export function unreadable(line: number, position: unknown, thrown: unknown): Candidate {
  const error = toError(thrown);
  const foreign = error instanceof ContextCacheError && error.code === 'FORMAT_UNSUPPORTED';
  return unusable(foreign ? 'format' : 'unreadable', line, position, error.message);
}

/** Returns a candidate for a record that cannot be used. */
export function unusable(kind: ReplayProblemKind, line: number, position: unknown, reason: string): Candidate {
  const known = typeof position === 'number' && Number.isSafeInteger(position) && position > 0;
  return { problem: { kind, reason, ...(line > 0 ? { line } : {}), ...(known ? { position } : {}) } };
}
