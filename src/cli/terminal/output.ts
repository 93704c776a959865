import { type Paint, paintFor } from './color.ts';
import { describe, OutputClosed } from './failure.ts';
import { Progress } from './progress.ts';

/** Where a command's output goes: data to stdout, everything else to stderr. */
export class Output {
  #json: boolean;
  /** Colours for data. */
  #paint: Paint;
  /** Colours for messages. */
  #paintMessages: Paint;
  /** Why nothing more can be written. */
  #failure: Error | undefined;
  #progress = false;

  /**
   * @param json everything is for programs.
   * @param colours whether there are colours. Default: as the surroundings say.
   */
  constructor(json: boolean, colours?: boolean) {
    this.#json = json;
    this.#paint = paintFor(process.stdout, colours);
    this.#paintMessages = paintFor(process.stderr, colours);
  }

  /** Everything is for programs. */
  get json(): boolean {
    return this.#json;
  }

  /** Puts colours on data where there are any. */
  get paint(): Paint {
    return this.#paint;
  }

  /** Somebody sees how far it has come. */
  get showsProgress(): boolean {
    return !this.json && process.stderr.isTTY === true;
  }

  /** What the constructor takes, once all is known that says it. */
  configure(json: boolean, colours: boolean | undefined): void {
    this.#json = json;
    this.#paint = paintFor(process.stdout, colours);
    this.#paintMessages = paintFor(process.stderr, colours);
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

  /** Chunks of data, one after the other; how much it is shows where the data itself goes elsewhere. */
  async writeAll(chunks: AsyncIterable<string | Uint8Array>, what = 'Writing'): Promise<void> {
    using progress = process.stdout.isTTY === true ? undefined : new Progress(this, what);
    let bytes = 0;
    for await (const chunk of chunks) {
      await this.write(chunk);
      bytes += chunk.length;
      progress?.count(Math.floor(bytes / 1_024), 'KiB');
    }
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
    this.#tell(
      this.json
        ? JSON.stringify({ warning: { code, message } })
        : `${this.#paintMessages('yellow', 'warning:')} ${message}`,
    );
  }

  /** Why the command fails; `more` only for programs. */
  error(error: unknown, more: Readonly<Record<string, unknown>> = {}): void {
    const { code, message } = describe(error);
    this.#tell(
      this.json
        ? JSON.stringify({ error: { code, message, ...more } })
        : `${this.#paintMessages('red', 'error:')} ${message}`,
    );
  }

  /** A line that the next one replaces; on a terminal only. */
  progress(text: string): void {
    if (!this.showsProgress) return;
    this.#progress = true;
    process.stderr.write(`\r\u{1b}[K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
  }

  /** Takes that line away. */
  clearProgress(): void {
    if (this.#progress) process.stderr.write('\r\u{1b}[K');
    this.#progress = false;
  }

  #tell(text: string): void {
    this.clearProgress();
    process.stderr.write(`${text}\n`);
  }
}
