/** The first error in a text that should be JSON. */
export interface JsonProblem {
  /** Index in the text. */
  readonly offset: number;
  /** Counted from 1. */
  readonly line: number;
  readonly column: number;
  /** The error as the end of a sentence: `a comma or } is missing`. */
  readonly message: string;
}

/** Thrown inside of the scanner only. */
class Stop extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/**
 * Finds the first error in a text that should be JSON; `undefined` if it is JSON. Browsers word their own messages
 * differently, and not all say where the error is.
 */
export function jsonProblem(text: string): JsonProblem | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    const { offset, message } = scan(text) ?? { offset: 0, message: (error as Error).message };
    const before = text.slice(0, offset).split('\n');
    return { offset, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, message };
  }
}

function scan(text: string): Stop | undefined {
  try {
    new Scanner(text).whole();
    return undefined;
  } catch (error) {
    return error instanceof Stop ? error : undefined;
  }
}

const SPACE = /[ \t\n\r]*/y;
const WORD = /true|false|null/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): void {
    this.#skip();
    if (this.#peek() === undefined) throw this.#stop('there is no value');
    this.#value();
    if (this.#peek() !== undefined) throw this.#stop('the value has ended here already');
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #stop(message: string, at = this.#at): Stop {
    return new Stop(at, message);
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found !== null;
  }

  #skip(): void {
    this.#take(SPACE);
  }

  #value(): void {
    const next = this.#peek();
    if (next === '{') this.#members();
    else if (next === '[') this.#items();
    else if (next === '"') this.#string();
    else if (!this.#take(WORD) && !this.#take(NUMBER)) throw this.#stop(this.#missingValue());
    this.#skip();
  }

  #missingValue(): string {
    const next = this.#peek();
    if (next === undefined) return 'a value is missing at the end';
    if (next === "'") return 'text needs double quotes, not single ones';
    if (next === '}' || next === ']') return `a value is missing before ${next}`;
    if (next === ',') return 'a value is missing before the comma';
    return /[a-zA-Z_]/.test(next) ? 'text needs double quotes' : 'a value is expected';
  }

  #members(): void {
    this.#at += 1;
    this.#skip();
    if (this.#closes('}')) return;
    for (;;) {
      if (this.#peek() !== '"') throw this.#stop(this.#missingName());
      this.#string();
      this.#skip();
      if (this.#peek() !== ':') throw this.#stop('a colon is missing after the name');
      this.#at += 1;
      this.#skip();
      this.#value();
      if (this.#closes('}')) return;
      this.#comma('}');
    }
  }

  #missingName(): string {
    if (this.#peek() === undefined) return '} is missing at the end';
    if (this.#peek() === '}') return 'a name is missing after the last comma';
    return 'a name in double quotes is expected';
  }

  #items(): void {
    this.#at += 1;
    this.#skip();
    if (this.#closes(']')) return;
    for (;;) {
      this.#value();
      if (this.#closes(']')) return;
      this.#comma(']');
    }
  }

  #closes(bracket: string): boolean {
    if (this.#peek() !== bracket) return false;
    this.#at += 1;
    return true;
  }

  #comma(bracket: string): void {
    if (this.#peek() === undefined) throw this.#stop(`${bracket} is missing at the end`);
    if (this.#peek() !== ',') throw this.#stop(`a comma or ${bracket} is missing`);
    this.#at += 1;
    this.#skip();
  }

  #string(): void {
    const start = this.#at;
    this.#at += 1;
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === '\n') throw this.#stop('the quote that begins here is not closed', start);
      if (next === '"') break;
      if (next < ' ') throw this.#stop('a control character must be written as an escape, such as \\t');
      if (next !== '\\') this.#at += 1;
      else if (!this.#take(ESCAPE)) throw this.#stop('this escape does not exist in JSON');
    }
    this.#at += 1;
  }
}
