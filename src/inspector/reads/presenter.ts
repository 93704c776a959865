import type { Entry } from '../../core/namespace-state.ts';
import { subjectTagsOf } from '../../core/opened.ts';
import type { SealedFields } from '../../core/sealed.ts';
import type { Update } from '../../core/update.ts';
import type { JsonValue } from '../../core/value.ts';
import type { EntryVersion } from '../../past/history.ts';
import type {
  EntryDetail,
  EntrySummary,
  EntryVersionDetail,
  Preview,
  SubjectMarks,
  UpdateDetail,
  UpdateRow,
} from '../data-protocol.ts';
import type { Redactor } from './redactor.ts';

/** Length of a preview, characters. */
const PREVIEW = 200;
/** Keys of a clear that are shown. */
const SHOWN_KEYS = 1_000;
/** Characters of a value's JSON text that a search reads. Bounds the cost of large values. */
const SEARCHED = 20_000;
/** Stands for the error of a migration, which may quote the value. */
const HIDDEN_FAILURE =
  'The migration failed. Its error may quote the value, of which a part is hidden, so it is hidden too.';
/** Characters shown before a match. */
const BEFORE_MATCH = 40;

/** An entry of the present. */
export interface PresentEntry {
  /** The entry that readers get. If a migration fails, it is the one that was written. */
  readonly entry: Entry;
  /** The entry that was written. It is the same object if no migration changes it. */
  readonly written: Entry;
  /** Why a migration fails. */
  readonly failure?: string;
}

/** Turns entries and updates into JSON for the page. Every value leaves the process through here, redacted. */
export class Presenter {
  readonly #redactor: Redactor;

  constructor(redactor: Redactor) {
    this.#redactor = redactor;
  }

  entry(entry: Entry): EntryDetail {
    const { namespace, key, value, version, createdAt, updatedAt, expiresAt, agent } = entry;
    const shown = this.#redactor.show(namespace, key, value);
    return { namespace, key, ...shown, version, createdAt, updatedAt, expiresAt, agent, ...marksOf(entry) };
  }

  /** Presents an entry of the present, with what was written if readers get something else. */
  present({ entry, written, failure }: PresentEntry): EntryDetail {
    const { namespace, key, value } = written;
    const shown = this.entry(entry);
    return {
      ...shown,
      ...(entry !== written && { written: this.#redactor.show(namespace, key, value) }),
      ...(failure !== undefined && { failure: shown.hidden ? HIDDEN_FAILURE : failure }),
    };
  }

  entrySummary(entry: Entry): EntrySummary {
    const { namespace, key, version, updatedAt, expiresAt, agent } = entry;
    return { key, version, updatedAt, expiresAt, agent, preview: this.#preview(namespace, key, entry) };
  }

  version(namespace: string, key: string, entry: EntryVersion<unknown>): EntryVersionDetail {
    const { operation, value, version, position, at, agent, expiresAt } = entry;
    const shown = value === undefined ? { hidden: false } : this.#redactor.show(namespace, key, value as JsonValue);
    return { operation, version, position, at, agent, expiresAt, ...shown, ...marksOf(entry) };
  }

  row(update: Update): UpdateRow {
    const { namespace, key, operation } = update;
    const preview = operation === 'set' && key !== null ? this.#preview(namespace, key, update) : null;
    return { ...head(update), preview };
  }

  update(update: Update, before: EntryVersionDetail | null): UpdateDetail {
    const { namespace, key, value, operation } = update;
    const shown = operation === 'set' && key !== null ? this.#redactor.show(namespace, key, value) : { hidden: false };
    const keys = update.keys && { keys: update.keys.slice(0, SHOWN_KEYS) };
    return { ...head(update), before, ...shown, ...marksOf(update), ...keys };
  }

  /**
   * Finds a text, given in lower case, in the first 20,000 characters of a value's JSON text, with secrets hidden.
   * Quotes match as they are and as they are written inside of strings. Returns the surroundings of the first match.
   */
  find(namespace: string, key: string, value: JsonValue, wanted: string): Preview | undefined {
    const text = this.#text(namespace, key, value, SEARCHED);
    const folded = text.toLowerCase();
    const plain = folded.indexOf(wanted);
    const at = plain < 0 ? folded.indexOf(JSON.stringify(wanted).slice(1, -1)) : plain;
    if (at < 0) return undefined;
    const from = Math.max(0, at - BEFORE_MATCH);
    const shown = text.slice(from, from + PREVIEW).toWellFormed();
    return { text: from > 0 ? `…${shown}` : shown, cut: from + PREVIEW < text.length };
  }

  #text(namespace: string, key: string, value: JsonValue, enough: number): string {
    const writer = new PreviewWriter(enough, (part, path) =>
      this.#redactor.mark({ namespace, key, path, value: part }),
    );
    writer.write(value, []);
    return writer.text;
  }

  #preview(namespace: string, key: string, of: SealedFields & { readonly value: JsonValue }): Preview {
    const { value, forgotten, sealed } = of;
    if (forgotten?.[0] === '') return { text: '', cut: false, missing: 'forgotten' };
    if (sealed?.[0] === '') return { text: '', cut: false, missing: 'sealed' };
    const text = this.#text(namespace, key, value, PREVIEW + 1);
    if (text.length <= PREVIEW) return { text, cut: false };
    return { text: text.slice(0, PREVIEW).toWellFormed(), cut: true };
  }
}

function marksOf(of: SealedFields): SubjectMarks {
  const { forgotten, sealed } = of;
  const tags = subjectTagsOf(of);
  return {
    ...(tags !== undefined && { subjects: tags && Object.fromEntries(tags) }),
    ...(forgotten !== undefined && { forgotten }),
    ...(sealed !== undefined && { sealed }),
  };
}

function head({ position, namespace, version, operation, key, at, agent, expiresAt, drop, bytes, keys }: Update) {
  const cleared = keys?.length ?? null;
  return { position, namespace, version, operation, key, at, agent, expiresAt, drop, bytes, cleared };
}

type Path = readonly (string | number)[];

/** Writes JSON text up to a length, so that a large value costs no more than the part that is shown. */
class PreviewWriter {
  text = '';
  readonly #enough: number;
  readonly #mark: (part: JsonValue, path: Path) => string | undefined;

  constructor(enough: number, mark: (part: JsonValue, path: Path) => string | undefined) {
    this.#enough = enough;
    this.#mark = mark;
  }

  write(part: JsonValue, path: Path): void {
    if (this.#isFull) return;
    const value = this.#mark(part, path) ?? part;
    if (typeof value === 'string') this.#string(value);
    else if (typeof value !== 'object' || value === null) this.text += JSON.stringify(value);
    else if (Array.isArray(value)) this.#array(value, path);
    else this.#object(value as Readonly<Record<string, JsonValue>>, path);
  }

  get #isFull(): boolean {
    return this.text.length >= this.#enough;
  }

  #string(value: string): void {
    const isLong = value.length > this.#enough;
    this.text += JSON.stringify(isLong ? value.slice(0, this.#enough).toWellFormed() : value);
  }

  #array(items: readonly JsonValue[], path: Path): void {
    this.text += '[';
    for (const [index, item] of items.entries()) {
      if (this.#isFull) return;
      if (index > 0) this.text += ',';
      this.write(item, [...path, index]);
    }
    this.text += ']';
  }

  #object(value: Readonly<Record<string, JsonValue>>, path: Path): void {
    this.text += '{';
    let first = true;
    for (const name in value) {
      if (this.#isFull) return;
      if (!Object.hasOwn(value, name)) continue;
      if (!first) this.text += ',';
      first = false;
      this.#string(name);
      this.text += ':';
      this.write(value[name] as JsonValue, [...path, name]);
    }
    this.text += '}';
  }
}
