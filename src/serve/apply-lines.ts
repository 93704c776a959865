import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Acknowledgement, type AgentContextCache, type ContextCommand, isDataCommand } from '../index.ts';
import { type Line, parseLine } from '../wire/lines.ts';
import { CommandWindow } from './command-window.ts';

/** How the command of a line ended. */
export interface Outcome {
  readonly line: number;
  /** Where the log was when the command was done. */
  readonly position: number;
  readonly error: unknown;
}

/** What the commands of a stream have come to. */
export interface ApplySummary {
  /** Lines read, blank ones included. */
  readonly lines: number;
  /** Updates that the commands made. */
  readonly updates: number;
  /** Commands that were to change something and had nothing to change. */
  readonly unchanged: number;
  readonly failed: number;
  /** Position of the log's last update. */
  readonly position: number;
}

/** How {@link applyLines} works. */
export interface ApplyOptions {
  readonly cache: AgentContextCache;
  readonly lines: AsyncIterable<readonly Line[]>;
  /** Go on after a line that fails. */
  readonly keepGoing: boolean;
  /** Wait for the disk now and then: for a cache whose writes do not wait for it. Default false. */
  readonly flush?: boolean;
  /** Ends the sending; what has been sent is waited for. */
  readonly signal?: AbortSignal;
  /** Lets go of the source, which may be waiting for more input. */
  readonly cancel: () => void;
  /** Outcomes in the order of the lines. The next ones wait for it. What it throws ends the whole. */
  readonly onOutcomes: (outcomes: readonly Outcome[]) => Promise<void> | void;
}

/**
 * Sends the command of each line to the cache, many at a time and in order, and tells how each has ended once it is
 * durable. Without `keepGoing` nothing is sent behind a line that fails.
 *
 * @throws what the source or `onOutcomes` has thrown, after what was sent has ended.
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

/** After so many commands or bytes a cache that does not wait for the disk is made to. */
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
    const [sent, told] = await Promise.allSettled([this.#send(), this.#tell()]);
    if (told.status === 'rejected') throw told.reason;
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
      // A source that was let go of complains.
      if (!this.#stopped) throw error;
    } finally {
      this.#window.end();
    }
  }

  async #tell(): Promise<void> {
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

  /** What must be waited for before the next line, if anything. */
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
    // Whether it is refused is decided by now, and known when the microtasks have run.
    return nextTurn();
  }

  /** Reads, and commands about the cache itself: in their turn, with nothing else under way. */
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

/** Anything may be on a line; the cache says what is wrong with it. */
function isData(command: unknown): boolean {
  return typeof command === 'object' && command !== null && isDataCommand(command as ContextCommand);
}

/** An expired entry may make an update although the command itself is refused. */
function mayConflict(command: ContextCommand): boolean {
  return 'ifVersion' in command || 'operations' in command;
}
