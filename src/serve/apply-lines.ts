import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Acknowledgement, type AgentContextCache, type ContextCommand, isDataCommand } from '../index.ts';
import { type Line, parseLine } from '../wire/lines.ts';
import { CommandWindow } from './command-window.ts';

/** Result of the command on a line. */
export interface Outcome {
  readonly line: number;
  /** Position of the log when the command was done. */
  readonly position: number;
  readonly error: unknown;
}

/** Result of a stream of commands. */
export interface ApplySummary {
  /** Lines read, including blank ones. */
  readonly lines: number;
  /** Updates that the commands made. */
  readonly updates: number;
  /** Commands that could change something but had nothing to change. */
  readonly unchanged: number;
  readonly failed: number;
  /** Position of the log's last update. */
  readonly position: number;
}

/** Options of {@link applyLines}. */
export interface ApplyOptions {
  readonly cache: AgentContextCache;
  readonly lines: AsyncIterable<readonly Line[]>;
  /** Continue after a line that fails. */
  readonly keepGoing: boolean;
  /** Flush regularly, for a cache whose writes do not wait for the disk. Default false. */
  readonly flush?: boolean;
  /** Stops sending; commands that were sent are awaited. */
  readonly signal?: AbortSignal;
  /** Releases the source, which may be waiting for more input. */
  readonly cancel: () => void;
  /** Called with outcomes in the order of the lines, awaited before the next ones. An error it throws ends the run. */
  readonly onOutcomes: (outcomes: readonly Outcome[]) => Promise<void> | void;
}

/**
 * Sends the command of each line to the cache, many at a time and in order, and reports each outcome when it is durable.
 * Without `keepGoing`, sends nothing after a line that fails. Rejects with the error of the source or of `onOutcomes`,
 * after the commands that were sent have ended.
 */
export async function applyLines(options: ApplyOptions): Promise<ApplySummary> {
  const run = new ApplyRun(options);
  const stop = () => run.stop();
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted) run.stop();
  try {
    return await run.run();
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
}

/** Commands and bytes after which `flush` waits for the disk. */
const FLUSH_COMMANDS = 4_096;
const FLUSH_BYTES = 8 * 1024 * 1024;

class ApplyRun {
  readonly #options: ApplyOptions;
  readonly #cache: AgentContextCache;
  readonly #window = new CommandWindow<Outcome>();
  readonly #counts = { lines: 0, updates: 0, unchanged: 0, failed: 0 };
  #stopped = false;
  #unflushed = { commands: 0, bytes: 0 };

  constructor(options: ApplyOptions) {
    this.#options = options;
    this.#cache = options.cache;
  }

  async run(): Promise<ApplySummary> {
    const [sent, reported] = await Promise.allSettled([this.#send(), this.#report()]);
    if (reported.status === 'rejected') throw reported.reason;
    if (sent.status === 'rejected') throw sent.reason;
    return { ...this.#counts, position: this.#cache.position };
  }

  /** Sends nothing more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#options.cancel();
    this.#window.release();
  }

  async #send(): Promise<void> {
    try {
      for await (const lines of this.#options.lines) {
        for (const line of lines) {
          if (this.#window.full) await this.#window.room(() => this.#stopped || !this.#window.full);
          if (this.#stopped) return;
          const wait = this.#sendLine(line);
          if (wait !== undefined) await wait;
        }
        if (this.#options.flush) await this.#flush();
      }
    } catch (error) {
      // A released source throws.
      if (!this.#stopped) throw error;
    } finally {
      this.#window.end();
    }
  }

  async #report(): Promise<void> {
    try {
      for (let outcomes = await this.#window.take(); outcomes !== undefined; outcomes = await this.#window.take()) {
        await this.#options.onOutcomes(outcomes);
        this.#window.release();
      }
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Sends a line. Returns a promise if the next line must wait for it. */
  #sendLine(line: Line): Promise<void> | undefined {
    this.#counts.lines = line.number;
    let command: ContextCommand;
    try {
      const parsed = parseLine(line);
      if (parsed === undefined) return undefined;
      command = parsed as ContextCommand;
    } catch (error) {
      this.#fail(line, this.#slot(line), error);
      return undefined;
    }
    return isData(command) ? this.#sendData(line, command) : this.#sendOther(line, command);
  }

  #sendData(line: Line, command: ContextCommand): Promise<void> | undefined {
    const before = this.#cache.position;
    const slot = this.#slot(line);
    const answered = this.#cache.ask(command) as Promise<Acknowledgement>;
    const made = this.#cache.position - before;
    answered.then(
      ({ position, changed }) => {
        this.#counts.updates += made;
        if (!changed) this.#counts.unchanged += 1;
        this.#window.settle(slot, { line: line.number, position, error: undefined });
      },
      (error) => this.#fail(line, slot, error),
    );
    if (this.#options.keepGoing || (made > 0 && !mayConflict(command))) return undefined;
    // A refusal is decided by now, and known when the microtasks have run.
    return nextTurn();
  }

  /** Executes reads and commands about the cache itself in their turn, with nothing else in flight. */
  async #sendOther(line: Line, command: ContextCommand): Promise<void> {
    await this.#window.room(() => this.#stopped || this.#window.isEmpty);
    if (this.#stopped) return;
    const slot = this.#slot(line);
    try {
      await this.#cache.ask(command);
      this.#window.settle(slot, { line: line.number, position: this.#cache.position, error: undefined });
    } catch (error) {
      this.#fail(line, slot, error);
    }
  }

  #slot(line: Line) {
    const bytes = Buffer.byteLength(line.text ?? '');
    this.#unflushed.commands += 1;
    this.#unflushed.bytes += bytes;
    return this.#window.push(bytes);
  }

  #fail(line: Line, slot: ReturnType<CommandWindow<Outcome>['push']>, error: unknown): void {
    this.#counts.failed += 1;
    this.#window.settle(slot, { line: line.number, position: this.#cache.position, error });
    if (!this.#options.keepGoing) this.stop();
  }

  async #flush(): Promise<void> {
    const { commands, bytes } = this.#unflushed;
    if (commands < FLUSH_COMMANDS && bytes < FLUSH_BYTES) return;
    this.#unflushed = { commands: 0, bytes: 0 };
    await this.#cache.flush();
  }
}

/** Returns whether it is a data command. A line may contain anything; the cache reports what is wrong with it. */
function isData(command: unknown): boolean {
  return typeof command === 'object' && command !== null && isDataCommand(command as ContextCommand);
}

/** Returns whether the command can be refused after it made an update, the expiry of an entry. */
function mayConflict(command: ContextCommand): boolean {
  return 'ifVersion' in command || 'operations' in command;
}
