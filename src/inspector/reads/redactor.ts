import { createHmac, randomBytes } from 'node:crypto';
import { ContextCacheError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/value.ts';
import type { Redact, ValuePath } from '../../engine/inspector-options.ts';
import { hidesSecrets, wordsOf } from './hides-secrets.ts';

/** A redacted value. */
export interface Shown {
  readonly value: JsonValue;
  /** True if any part of it is hidden. */
  readonly hidden: boolean;
}

type Path = readonly (string | number)[];
type Replace = (value: JsonValue, path: Path) => JsonValue | undefined;

const MARK = /\[hidden [0-9a-f]{8}\]/;

/** Replaces secret parts of values by marks such as `[hidden 1a2b3c4d]`. */
export class Redactor {
  readonly redacts: boolean;
  readonly #hides: (place: ValuePath) => boolean;
  /** Key of the marks. Without it a reader cannot test guesses against a mark. */
  readonly #secret = randomBytes(32);

  constructor(redact: Redact | undefined) {
    this.redacts = redact !== false;
    this.#hides = predicateOf(redact);
  }

  /** Returns the value with marks for its hidden parts. Equal marks at the same path mean equal values. */
  show(namespace: string, key: string, value: JsonValue): Shown {
    if (!this.redacts) return { value, hidden: false };
    const shown = replaced(value, [], (part, path) => this.mark({ namespace, key, path, value: part }));
    return { value: shown, hidden: shown !== value };
  }

  /** Returns the mark for a hidden part; `undefined` if it is shown. A part is hidden if the predicate throws. */
  mark(place: ValuePath): string | undefined {
    if (!this.redacts) return undefined;
    try {
      if (!this.#hides(place)) return undefined;
    } catch {
      // Hidden, as if the predicate had said so.
    }
    const { namespace, key, path, value } = place;
    const hmac = createHmac('sha256', this.#secret).update(JSON.stringify([namespace, key, path, value]));
    return `[hidden ${hmac.digest('hex').slice(0, 8)}]`;
  }

  /**
   * Returns the edited value with every mark replaced by the part of `current` that it stands for.
   *
   * @throws {ContextCacheError} `INVALID_VALUE` if a mark is not of `current`, or would be shown at its new path.
   */
  restore(namespace: string, key: string, edited: JsonValue, current: JsonValue | undefined): JsonValue {
    if (!this.redacts) return edited;
    const known = current === undefined ? new Map<string, JsonValue>() : this.#marksIn(namespace, key, current);
    const restoredAt: Path[] = [];
    const restored = replaced(edited, [], (part, path) => {
      if (typeof part !== 'string' || !MARK.test(part)) return undefined;
      const value = known.get(part);
      if (value === undefined) throw stale();
      restoredAt.push(path);
      return value;
    });
    const again = this.show(namespace, key, restored).value;
    for (const path of restoredAt) if (!isMarked(again, path)) throw misplaced();
    return restored;
  }

  #marksIn(namespace: string, key: string, value: JsonValue): Map<string, JsonValue> {
    const marks = new Map<string, JsonValue>();
    replaced(value, [], (part, path) => {
      const mark = this.mark({ namespace, key, path, value: part });
      if (mark !== undefined) marks.set(mark, part);
      return mark;
    });
    return marks;
  }
}

function predicateOf(redact: Redact | undefined): (place: ValuePath) => boolean {
  if (redact === false) return () => false;
  if (redact === undefined) return hidesSecrets;
  if (typeof redact === 'function') return redact;
  const patterns = redact.map((pattern) => (typeof pattern === 'string' ? wordPattern(pattern) : matches(pattern)));
  return (place) => hidesSecrets(place) || namesOf(place).some((name) => patterns.some((pattern) => pattern(name)));
}

function namesOf({ namespace, key, path }: ValuePath): readonly string[] {
  const last = path.at(-1);
  if (last === undefined) return [namespace, key];
  return typeof last === 'string' ? [last] : [];
}

function wordPattern(pattern: string): (name: string) => boolean {
  const wanted = ` ${wordsOf(pattern).join(' ')} `;
  return (name) => ` ${wordsOf(name).join(' ')} `.includes(wanted);
}

/** Tests a name. `search` ignores the `lastIndex` of an expression with the flag `g`. */
function matches(pattern: RegExp): (name: string) => boolean {
  return (name) => name.search(pattern) >= 0;
}

/** Returns the value with parts replaced, outer parts first; the same object if none is. */
function replaced(value: JsonValue, path: Path, replace: Replace): JsonValue {
  const other = replace(value, path);
  if (other !== undefined) return other;
  if (typeof value !== 'object' || value === null) return value;
  let changed = false;
  const inner = (part: JsonValue, name: string | number) => {
    const result = replaced(part, [...path, name], replace);
    changed ||= result !== part;
    return result;
  };
  const copy = Array.isArray(value)
    ? value.map(inner)
    : Object.fromEntries(Object.entries(value).map(([name, part]) => [name, inner(part, name)]));
  return changed ? copy : value;
}

/** Returns whether the part at the path, or a part around it, is hidden. */
function isMarked(value: JsonValue, path: Path): boolean {
  let part: JsonValue | undefined = value;
  for (const name of path) {
    if (typeof part === 'string') break;
    part = (part as Record<string | number, JsonValue> | null)?.[name];
  }
  return typeof part === 'string' && MARK.test(part);
}

function stale(): ContextCacheError {
  const message =
    'A "[hidden …]" in the value does not belong to the current entry. Read the entry again, then change it.';
  return new ContextCacheError('INVALID_VALUE', message);
}

function misplaced(): ContextCacheError {
  const message = 'A "[hidden …]" was moved to a path that is shown. Leave it at its path, or write a value there.';
  return new ContextCacheError('INVALID_VALUE', message);
}
