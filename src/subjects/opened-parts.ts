import type { JsonValue } from '../core/value.ts';

/** Characters of sealed text whose values are kept: about 12 MiB of JSON. */
const MOST_CHARACTERS = 16 * 1024 * 1024;

/** A decrypted part of a value, and what it is bound to. */
export interface OpenedPart {
  readonly keyId: string;
  /** What the text was authenticated with. */
  readonly bound: string;
  readonly value: JsonValue;
}

/** The parts that were decrypted last, by their sealed text, so that reading a value again does not decrypt it again. */
export class OpenedParts {
  readonly #parts = new Map<string, OpenedPart>();
  #characters = 0;

  /** Returns a part that is bound to the same entry. */
  get(data: string, bound: string): OpenedPart | undefined {
    const part = this.#parts.get(data);
    return part?.bound === bound ? part : undefined;
  }

  add(data: string, part: OpenedPart): void {
    if (data.length > MOST_CHARACTERS / 4) return;
    if (!this.#parts.has(data)) this.#characters += data.length;
    this.#parts.set(data, part);
    for (const oldest of this.#parts.keys()) {
      if (this.#characters <= MOST_CHARACTERS) return;
      this.#delete(oldest);
    }
  }

  /** Discards what these keys have sealed. */
  discard(keyIds: ReadonlySet<string>): void {
    for (const [data, { keyId }] of this.#parts) if (keyIds.has(keyId)) this.#delete(data);
  }

  #delete(data: string): void {
    this.#parts.delete(data);
    this.#characters -= data.length;
  }
}
