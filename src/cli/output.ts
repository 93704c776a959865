import { describe, OutputClosed } from './failure.ts';

/** Where a command's output goes: data to stdout, everything else to stderr. */
export class Output {
  /** Everything is for programs. */
  readonly json: boolean;
  /** Why nothing more can be written. */
  #failure: Error | undefined;
  #progress = false;

  constructor(json: boolean) {
    this.json = json;
  }

  /** Notices from here on that a reader has gone, or a disk is full. */
  listen(): void {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      const { code } = error;
      this.#failure ??=
        code === 'EPIPE' ? new OutputClosed() : new Error(`Standard output cannot be written (${code}).`);
    });
    // Whoever does not read messages goes without.
    process.stderr.on('error', () => {});
  }

  /**
   * Data. Waits where it is read slowly.
   *
   * @throws {OutputClosed} where nobody reads it any more; an error where it cannot be written.
   */
  write(chunk: string | Uint8Array): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    if (process.stdout.write(chunk)) return undefined;
    return new Promise((resolve, reject) => {
      const settle = () => {
        process.stdout.off('drain', settle);
        process.stdout.off('close', settle);
        if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      };
      process.stdout.on('drain', settle);
      process.stdout.on('close', settle);
    });
  }

  /**
   * Resolves once all data is written.
   *
   * @throws as {@link write}.
   */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Chunks of data, one after the other. */
  async writeAll(chunks: AsyncIterable<string | Uint8Array>): Promise<void> {
    for await (const chunk of chunks) await this.write(chunk);
  }

  /** A value as one line of JSON. */
  async writeJson(value: unknown): Promise<void> {
    await this.write(`${JSON.stringify(value)}\n`);
  }

  /** A value for programs, or, where people read, text. */
  async result(value: unknown, text: string): Promise<void> {
    if (this.json) await this.writeJson(value);
    else if (text !== '') await this.write(`${text}\n`);
  }

  /** For people only. */
  message(text: string): void {
    if (!this.json) this.#tell(text);
  }

  /** Something that does not end the command. */
  warning(error: unknown): void {
    const { code, message } = describe(error);
    this.#tell(this.json ? JSON.stringify({ warning: { code, message } }) : `warning: ${message}`);
  }

  /** Why the command fails; `more` only for programs. */
  error(error: unknown, more: Readonly<Record<string, unknown>> = {}): void {
    const { code, message } = describe(error);
    this.#tell(this.json ? JSON.stringify({ error: { code, message, ...more } }) : `error: ${message}`);
  }

  /** A line that the next one replaces; on a terminal only. */
  progress(text: string): void {
    if (this.json || !process.stderr.isTTY) return;
    this.#progress = true;
    process.stderr.write(`\r\u{1b}[K${text}`);
  }

  #tell(text: string): void {
    if (this.#progress) process.stderr.write('\r\u{1b}[K');
    this.#progress = false;
    process.stderr.write(`${text}\n`);
  }
}

/** A name on a line of its own: as it is, or, where that would not be clear, as JSON. */
export function shownName(name: string): string {
  return /^"|^\s|\s$|[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) ? JSON.stringify(name) : name;
}

/** `12,345`. */
export function shownCount(count: number): string {
  return count.toLocaleString('en-US');
}
