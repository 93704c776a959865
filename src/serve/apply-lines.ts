import { setImmediate as nextTurn } from 'node:timers/promises';
import { attempt, whenDurable } from '../cache/attempt.ts';
import { isDataCommand } from '../core/admission.ts';
import type { Acknowledgement, ContextCommand, DataCommand } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { type Line, parseLine } from '../wire/lines.ts';
import { CommandWindow, type Slot } from './command-window.ts';
import type { ClientCache } from './served-cache.ts';

/** Result of the command on a line. */
export type Outcome = Readonly<Pick<Slot, 'line' | 'position' | 'error'>>;

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
  readonly cache: ClientCache;
  /** The writer of all commands, whatever they say. Default: each command names its own. */
  readonly agent?: string | null | undefined;
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

/** Commands and characters after which `flush` waits for the disk. */
const FLUSH_COMMANDS = 4_096;
const FLUSH_SIZE = 8 * 1024 * 1024;

/** A command in flight, and what it changed. */
interface Sent extends Slot {
  /** Updates that it made, with the expiries of entries that were due. */
  updates: number;
  /** `true` if the command could change something but had nothing to change. */
  unchanged: boolean;
}

/** Commands that become durable together. */
interface Group {
  readonly committed: Promise<void>;
  readonly commands: Sent[];
}

class ApplyRun {
  readonly #options: ApplyOptions;
  readonly #cache: ClientCache;
  readonly #window = new CommandWindow<Sent>();
  /** The group of the last command. */
  #group: Group | undefined;
  readonly #counts = { lines: 0, updates: 0, unchanged: 0, failed: 0 };
  #stopped = false;
  #unflushed = { commands: 0, size: 0 };

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
      command = asAgent(this.#options.agent, parsed as ContextCommand);
    } catch (error) {
      this.#fail(this.#push(line), error);
      return undefined;
    }
    return isData(command) ? this.#sendData(line, command) : this.#sendOther(line, command);
  }

  #sendData(line: Line, command: DataCommand): Promise<void> | undefined {
    const before = this.#cache.position;
    const sent = this.#push(line);
    try {
      const answer = attempt(this.#cache, command);
      sent.updates = this.#cache.position - before;
      if (!(answer instanceof Promise)) {
        this.#done(sent, answer);
        return undefined;
      }
      answer.then(
        (result) => this.#succeed(sent, result),
        (error) => this.#fail(sent, error),
      );
    } catch (error) {
      this.#fail(sent, error);
      return undefined;
    }
    return this.#options.keepGoing ? undefined : nextTurn();
  }

  /** Settles a command that is done as soon as it is durable. */
  #done(sent: Sent, result: Acknowledgement): void {
    const committed = whenDurable(this.#cache, result.position);
    if (committed === undefined) {
      this.#succeed(sent, result);
      return;
    }
    sent.position = result.position;
    sent.unchanged = !result.changed;
    if (this.#group?.committed !== committed) this.#group = this.#newGroup(committed);
    this.#group.commands.push(sent);
  }

  #newGroup(committed: Promise<void>): Group {
    const commands: Sent[] = [];
    committed.then(
      () => {
        for (const sent of commands) this.#count(sent);
      },
      (error) => {
        for (const sent of commands) this.#fail(sent, error);
      },
    );
    return { committed, commands };
  }

  /** Executes reads and commands about the cache itself in their turn, with nothing else in flight. */
  async #sendOther(line: Line, command: ContextCommand): Promise<void> {
    await this.#window.room(() => this.#stopped || this.#window.isEmpty);
    if (this.#stopped) return;
    const sent = this.#push(line);
    try {
      await this.#cache.ask(command);
      sent.position = this.#cache.position;
      this.#window.settle(sent);
    } catch (error) {
      this.#fail(sent, error);
    }
  }

  #push(line: Line): Sent {
    const size = line.text?.length ?? 0;
    this.#unflushed.commands += 1;
    this.#unflushed.size += size;
    const sent = {
      line: line.number,
      size,
      ended: false,
      position: 0,
      error: undefined,
      updates: 0,
      unchanged: false,
    };
    this.#window.push(sent);
    return sent;
  }

  #succeed(sent: Sent, { position, changed }: Acknowledgement): void {
    sent.position = position;
    sent.unchanged = !changed;
    this.#count(sent);
  }

  #count(sent: Sent): void {
    this.#counts.updates += sent.updates;
    if (sent.unchanged) this.#counts.unchanged += 1;
    this.#window.settle(sent);
  }

  #fail(sent: Sent, error: unknown): void {
    this.#counts.failed += 1;
    sent.position = this.#cache.position;
    sent.error = error;
    this.#window.settle(sent);
    if (!this.#options.keepGoing) this.stop();
  }

  async #flush(): Promise<void> {
    const { commands, size } = this.#unflushed;
    if (commands < FLUSH_COMMANDS && size < FLUSH_SIZE) return;
    this.#unflushed = { commands: 0, size: 0 };
    await this.#cache.flush();
  }
}

/** Returns whether it is a data command. A line may contain anything; the cache reports what is wrong with it. */
function isData(command: unknown): command is DataCommand {
  return typeof command === 'object' && command !== null && isDataCommand(command as ContextCommand);
}

/** Returns whether a command makes this process read a directory, or connect to a server, that the command names. */
export function reachesOutside(command: ContextCommand): boolean {
  return command?.type === 'cache.verify' && command.against !== undefined;
}

/**
 * Returns the command with this agent as its writer. Without an agent, or if the command only reads, it is unchanged.
 *
 * @throws {ContextCacheError} `FORBIDDEN` if the command reads a directory or server that an agent must not choose, or forgets a subject.
 */
export function asAgent(agent: string | null | undefined, command: ContextCommand): ContextCommand {
  if (agent === null || agent === undefined) return command;
  if (isData(command) || command.type === 'context.transaction') return { ...command, agent };
  if (command.type === 'subjects.forget') {
    throw new ContextCacheError(
      'FORBIDDEN',
      'Forgetting a subject needs the token of the server, not that of an agent.',
    );
  }
  if (reachesOutside(command)) {
    const message = 'cache.verify with "against" needs the token of the server, not that of an agent.';
    throw new ContextCacheError('FORBIDDEN', message);
  }
  return command;
}
