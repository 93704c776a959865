import type { Update } from '../../../core/update.ts';
import type { Segments } from './segments.ts';

/** Reads the log on disk. Keeps the updates it decoded last for a reader that continues after them. */
export class LogReader {
  readonly #segments: Segments;
  #chunk: readonly Update[] = [];

  constructor(segments: Segments) {
    this.#segments = segments;
  }

  /**
   * Reads at most `limit` updates from position `from` to `to`, which must be on disk; returns at least one.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` for damage and for a gap.
   */
  read(from: number, to: number, limit: number): readonly Update[] {
    if (this.#index(from) === undefined) this.#chunk = this.#segments.read(from, to);
    const index = this.#index(from) ?? 0;
    return this.#chunk.slice(index, index + Math.min(limit, to - from + 1));
  }

  /**
   * Reads some updates from position `from` to `to`, at least one, without decoding their values: each is an `EncodedValue`. Throws as
   * {@link LogReader.read} does.
   */
  readBare(from: number, to: number): readonly Update[] {
    return this.#segments.readBare(from, to);
  }

  /** Discards the updates it keeps. */
  forget(): void {
    this.#chunk = [];
  }

  #index(position: number): number | undefined {
    const index = position - (this.#chunk[0]?.position ?? Number.POSITIVE_INFINITY);
    return index >= 0 && index < this.#chunk.length ? index : undefined;
  }
}
