import { ContextCacheError } from '../core/errors.ts';

/** A record of an exported log as JSON has it. */
export type RawRecord = Readonly<Record<string, unknown>>;

/** Makes a record of one format version into one of the next. Changes nothing of what it is given. */
export type Upcast = (record: RawRecord) => RawRecord;

/** The format version of the lines of `context-cache log`; a record without `format` has it. */
export const RECORD_FORMAT = 1;

/**
 * Reads records of older format versions: each step knows two neighbouring versions and nothing of the others, so that
 * a new version adds one step and leaves the rest.
 *
 * @example
 * ```ts
 * // When version 2 has renamed `at`: the only thing to add.
 * new RecordFormats(2, new Map([[1, ({ at, ...record }) => ({ ...record, askedAt: at })]]));
 * ```
 */
export class RecordFormats {
  /** What this version of the package writes. */
  readonly current: number;
  readonly #steps: ReadonlyMap<number, Upcast>;

  /** `steps`: by the version that they start from. */
  constructor(current: number, steps: ReadonlyMap<number, Upcast>) {
    this.current = current;
    this.#steps = steps;
  }

  /**
   * The record as one of the current version.
   *
   * @throws {ContextCacheError} `FORMAT_UNSUPPORTED` for a newer version, or one that nobody knows.
   */
  upcast(record: RawRecord, from: unknown): RawRecord {
    if (from === this.current) return record;
    this.check(from);
    let upcasted = record;
    for (let version = from as number; version < this.current; version += 1) {
      upcasted = (this.#steps.get(version) as Upcast)(upcasted);
    }
    return upcasted;
  }

  /** Throws as {@link RecordFormats.upcast} where records of this version cannot be read. */
  check(from: unknown): void {
    for (let version = from; version !== this.current; version = (version as number) + 1) {
      if (typeof version === 'number' && this.#steps.has(version)) continue;
      const shown = typeof from === 'number' ? from : typeof from;
      const message = `It has format ${shown}; this version reads up to format ${this.current}. Update the package, or export the log again.`;
      throw new ContextCacheError('FORMAT_UNSUPPORTED', message);
    }
  }
}

/** The formats there have been so far. */
export const RECORD_FORMATS = new RecordFormats(RECORD_FORMAT, new Map());
