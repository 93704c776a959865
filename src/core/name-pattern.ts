import { ContextCacheError } from './errors.ts';
import { kindOf } from './options.ts';

/** Longest text of a pattern, UTF-16 units. */
export const MAX_PATTERN_LENGTH = 1_024;
/** Most segments of a pattern. With the size of a name, it bounds the time of a match. */
export const MAX_PATTERN_SEGMENTS = 64;

/** Stands for any number of segments, none included. */
const DEEP = null;
/** The texts between the `*` of a segment: one text without a `*`. */
type Segment = readonly string[];

/**
 * A pattern of names: of namespaces, and of keys. A name is a list of segments with `/` between them.
 *
 * | in a pattern | matches |
 * |---|---|
 * | `*` | any text without `/`, also the empty one |
 * | `**`, alone between two `/` | any number of segments, also none |
 * | `\*`, `\\` | `*`, `\` |
 * | any other character | itself |
 *
 * `trip/**` matches `trip`, `trip/` and `trip/plan/x`, and not `trips`. `trip:*` matches `trip:7`, and not `trip:7/x`. `**`
 * matches every name. Upper and lower case differ, and nothing is normalized: two texts that look alike and have other code
 * points are two names. A match takes time in proportion to the length of the name times the segments of the pattern.
 */
export class NamePattern {
  readonly text: string;
  /** The only name that the pattern matches; `undefined` if there may be others. */
  readonly literal: string | undefined;
  /** `true` for `**`. */
  readonly matchesAll: boolean;
  readonly #segments: readonly (Segment | typeof DEEP)[];
  /** The start of all names but one that a pattern `literal/**` matches. */
  readonly #start: string | undefined;

  /** @throws {ContextCacheError} `INVALID_OPTION` if the text is no pattern. */
  constructor(text: string) {
    this.text = text;
    this.#segments = segmentsOf(text);
    const literals = this.#segments.map((segment) => (segment?.length === 1 ? segment[0] : undefined));
    const isLiteral = !literals.includes(undefined);
    this.literal = isLiteral ? literals.join('/') : undefined;
    this.matchesAll = this.#segments.length === 1 && this.#segments[0] === DEEP;
    const isDeep = this.#segments.at(-1) === DEEP && !literals.slice(0, -1).includes(undefined);
    this.#start = isDeep && !this.matchesAll ? `${literals.slice(0, -1).join('/')}/` : undefined;
  }

  /** Returns whether a name matches. */
  matches(name: string): boolean {
    if (this.literal !== undefined) return name === this.literal;
    if (this.matchesAll) return true;
    const start = this.#start;
    if (start !== undefined)
      return name.startsWith(start) || (name.length === start.length - 1 && start.startsWith(name));
    return this.#matchesSegments(name.split('/'));
  }

  /** Returns whether every name with this prefix matches. May return `false` if an unusual pattern matches them all. */
  matchesPrefix(prefix: string): boolean {
    if (this.matchesAll) return true;
    if (this.#segments.at(-1) !== DEEP) return false;
    // Whatever follows, these segments stay.
    const whole = prefix.split('/').slice(0, -1);
    return this.#matchesSegments(whole);
  }

  /**
   * Returns whether a prefix followed by any text of letters and digits matches. One pattern that matches with both of these
   * endings, which have no character in common, matches with every other one too.
   */
  matchesContinued(prefix: string): boolean {
    return this.matches(`${prefix}a0`) && this.matches(`${prefix}z9`);
  }

  /** Each `**` takes as few segments as possible. If the rest then fails, only the last `**` need take one more. */
  #matchesSegments(names: readonly string[]): boolean {
    const segments = this.#segments;
    let at = 0;
    let from = 0;
    let deep = -1;
    let taken = 0;
    while (from < names.length) {
      const segment = segments[at];
      if (segment === DEEP) {
        deep = at;
        taken = from;
        at += 1;
      } else if (segment !== undefined && matchesSegment(segment, names[from] as string)) {
        at += 1;
        from += 1;
      } else if (deep >= 0) {
        taken += 1;
        from = taken;
        at = deep + 1;
      } else return false;
    }
    while (segments[at] === DEEP) at += 1;
    return at === segments.length;
  }
}

/** Returns the pattern that matches this name alone. */
export function escapePattern(name: string): string {
  return name.replace(/[\\*]/g, '\\$&');
}

/** The texts between the `*` must come in order; taking each as early as possible leaves most for the rest. */
function matchesSegment(texts: Segment, name: string): boolean {
  const first = texts[0] as string;
  if (texts.length === 1) return name === first;
  const last = texts[texts.length - 1] as string;
  const end = name.length - last.length;
  if (end < first.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  let from = first.length;
  for (let index = 1; index < texts.length - 1; index += 1) {
    const text = texts[index] as string;
    const found = name.indexOf(text, from);
    if (found < 0 || found + text.length > end) return false;
    from = found + text.length;
  }
  return true;
}

function segmentsOf(text: unknown): readonly (Segment | typeof DEEP)[] {
  if (typeof text !== 'string' || text === '' || text.length > MAX_PATTERN_LENGTH || !text.isWellFormed()) {
    const kind = typeof text === 'string' ? `has ${text.length}, or is not well-formed` : `is ${kindOf(text)}`;
    throw invalid(
      `A pattern must be a well-formed string of 1 to ${MAX_PATTERN_LENGTH} characters; this one ${kind}. Use "**" for all names`,
    );
  }
  const segments: (Segment | typeof DEEP)[] = [];
  let texts: string[] = [''];
  let stars = 0;
  const end = () => {
    const isDeep = stars === 2 && texts.every((each) => each === '');
    if (!isDeep && stars > 1 && texts.slice(1, -1).includes('')) {
      throw invalid(`The pattern ${shown(text)} has "**" beside other characters. Put "/" around it, or use one "*"`);
    }
    // `**/**` matches what `**` does.
    if (!isDeep) segments.push(texts);
    else if (segments.at(-1) !== DEEP) segments.push(DEEP);
    texts = [''];
    stars = 0;
  };
  for (let index = 0; index < text.length; index += 1) {
    let character = text[index] as string;
    if (character === '/') {
      end();
      continue;
    }
    if (character === '*') {
      stars += 1;
      texts.push('');
      continue;
    }
    if (character === '\\') {
      index += 1;
      character = text[index] ?? '';
      if (character !== '*' && character !== '\\')
        throw invalid(`The pattern ${shown(text)} has a "\\" that is not before "*" or "\\". Write "\\\\" for "\\"`);
    }
    texts[texts.length - 1] += character;
  }
  end();
  if (segments.length > MAX_PATTERN_SEGMENTS)
    throw invalid(`The pattern ${shown(text)} has ${segments.length} segments. Use at most ${MAX_PATTERN_SEGMENTS}`);
  return segments;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}
