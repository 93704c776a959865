import { type Paint, paintFor } from './color.ts';
import { describe, OutputClosed } from './failure.ts';
import { Progress } from './progress.ts';

/** The output of a command: data on stdout, everything else on stderr. */
export class Output {
  #json: boolean;
  /** Colors of data. */
  #paint: Paint;
  /** Colors of messages. */
  #paintMessages: Paint;
  /** Set when nothing more can be written. */
  #failure: Error | undefined;
  #progress = false;

  /**
   * @param json whether everything is for programs.
   * @param colors whether to use colors. Default: environment and terminal decide.
   */
  constructor(json: boolean, colors?: boolean) {
    this.#json = json;
    this.#paint = paintFor(process.stdout, colors);
    this.#paintMessages = paintFor(process.stderr, colors);
  }

  /** Set by --json: everything is for programs. */
  get json(): boolean {
    return this.#json;
  }

  /** Colors data, if colors are on. */
  get paint(): Paint {
    return this.#paint;
  }

  /** Set if a person can see progress. */
  get showsProgress(): boolean {
    return !this.json && process.stderr.isTTY === true;
  }

  /** Replaces the arguments of the constructor when environment and file are known. */
  configure(json: boolean, colors: boolean | undefined): void {
    this.#json = json;
    this.#paint = paintFor(process.stdout, colors);
    this.#paintMessages = paintFor(process.stderr, colors);
  }

  /** Starts to detect that the reader is gone or the disk is full. */
  listen(): void {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      const { code } = error;
      this.#failure ??=
        code === 'EPIPE' ? new OutputClosed() : new Error(`Standard output cannot be written (${code}).`);
    });
    // Messages without a reader are dropped.
    process.stderr.on('error', () => {});
  }

  /**
   * Writes data. Waits for a slow reader.
   *
   * @throws {OutputClosed} if the reader is gone; an error if the data cannot be written.
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
   * Resolves when all data is written. Rejects as {@link write} throws.
   */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Writes chunks of data in order. Shows their size as progress unless the data itself goes to the terminal. */
  async writeAll(chunks: AsyncIterable<string | Uint8Array>, what = 'Writing'): Promise<void> {
    using progress = process.stdout.isTTY === true ? undefined : new Progress(this, what);
    let bytes = 0;
    for await (const chunk of chunks) {
      await this.write(chunk);
      bytes += chunk.length;
      progress?.count(Math.floor(bytes / 1_024), 'KiB');
    }
  }

  /** Writes a value as one line of JSON. */
  async writeJson(value: unknown): Promise<void> {
    await this.write(`${JSON.stringify(value)}\n`);
  }

  /** Writes the value for programs, or the text for people. */
  async result(value: unknown, text: string): Promise<void> {
    if (this.json) await this.writeJson(value);
    else if (text !== '') await this.write(`${text}\n`);
  }

  /** Writes a message for people. */
  message(text: string): void {
    if (!this.json) this.#print(text);
  }

  /** Writes a log line, which is for programs. */
  logLine(line: string): void {
    this.#print(line);
  }

  /** Writes a warning, which does not end the command. */
  warning(error: unknown): void {
    const { code, message } = describe(error);
    this.#print(
      this.json
        ? JSON.stringify({ warning: { code, message } })
        : `${this.#paintMessages('yellow', 'warning:')} ${message}`,
    );
  }

  /** Writes the error that ends the command; `more` is for programs only. */
  error(error: unknown, more: Readonly<Record<string, unknown>> = {}): void {
    const { code, message } = describe(error);
    this.#print(
      this.json
        ? JSON.stringify({ error: { code, message, ...more } })
        : `${this.#paintMessages('red', 'error:')} ${message}`,
    );
  }

  /** Draws a line that the next one replaces, on a terminal only. */
  progress(text: string): void {
    if (!this.showsProgress) return;
    this.#progress = true;
    process.stderr.write(`\r\u{1b}[K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
  }

  /** Removes that line. */
  clearProgress(): void {
    if (this.#progress) process.stderr.write('\r\u{1b}[K');
    this.#progress = false;
  }

  #print(text: string): void {
    this.clearProgress();
    process.stderr.write(`${text}\n`);
  }
}
