import type { Clock } from '../core/clock.ts';
import { UNCONDITIONAL } from '../core/conditions.ts';
import type { Request } from '../core/request.ts';
import { COMMANDS, type CommandFields, commonOperation, traceOf } from './channels.ts';
import { Histogram, type Latency } from './histogram.ts';
import { codeOf } from './trace.ts';

/**
 * The sampling of latencies: up to `upTo` commands of a type, one in `oneIn` is measured, a power of two. Measuring a read in
 * memory takes ten times as long as the read.
 */
const SAMPLES = [
  { upTo: 1_024, oneIn: 1 },
  { upTo: 65_536, oneIn: 64 },
  { upTo: Number.POSITIVE_INFINITY, oneIn: 1_024 },
] as const;

/** The commands of one type so far. */
export interface OperationActivity {
  /** Number of commands, those that failed included. */
  readonly count: number;
  readonly failed: number;
  /**
   * Duration until the answer, which for a write is its acknowledgement. The first 1,024 commands are measured, then one in
   * 64, and after 65,536 one in 1,024. `undefined` before the first answer.
   */
  readonly latency: Latency | undefined;
}

/** Counters of a cache since it was opened. */
export interface ActivityHealth {
  /** When the cache was opened, epoch milliseconds. */
  readonly since: number;
  /**
   * By type of command, such as `context.set`; `context.getMany` counts as one. A `setMany` is a `context.batch`. An `update`
   * or a `getOrSet` is the `context.entry` and the `context.set` that it consists of.
   */
  readonly operations: { readonly [command: string]: OperationActivity };
  /** Keys that a read found: `get`, `has`, `entry`, and each key of a `getMany`. */
  readonly hits: number;
  /** Keys that a read did not find. */
  readonly misses: number;
  /** Writes refused because their condition did not hold. */
  readonly conflicts: number;
  /** Entries removed because their time had come. */
  readonly expiries: number;
  /** Estimated bytes of the values that were written. */
  readonly bytesWritten: number;
  /** Failed commands and calls refused at the door, by code of the error. */
  readonly failures: { readonly [code: string]: number };
}

/** Counts the commands of one type. */
export class Meter {
  readonly command: string;
  readonly latency = new Histogram();
  count = 0;
  failed = 0;
  #mask = 0;

  constructor(command: string) {
    this.command = command;
  }

  /** Counts a command. Returns true if it must be observed: it is to be measured, or a subscriber waits for it. */
  begins(): boolean {
    this.count += 1;
    return (this.count & this.#mask) === 0 || COMMANDS.isHeard;
  }

  /** Number of commands that a measurement of this one stands for; 0 if it is not to be measured. */
  get weight(): number {
    return (this.count & this.#mask) === 0 ? this.#mask + 1 : 0;
  }

  measured(durationMs: number, weight: number): void {
    if (weight === 0) return;
    this.latency.add(durationMs, weight);
    const { oneIn = 1 } = SAMPLES.find(({ upTo }) => this.latency.count < upTo) ?? {};
    this.#mask = oneIn - 1;
  }

  get activity(): OperationActivity {
    return { count: this.count, failed: this.failed, latency: this.latency.latency() };
  }
}

/** The parts of {@link Activity}. */
export interface ActivityOptions {
  readonly clock: Clock;
  /** Id of the log of the cache. */
  readonly log: string;
  /** Publishes keys and errors too. */
  readonly details: boolean;
}

/** Counts and publishes the commands of one cache. Counting is one addition a command. */
export class Activity {
  /** The two most frequent commands, which need no look-up. */
  readonly gets = new Meter('context.get');
  readonly sets = new Meter('context.set');
  hits = 0;
  misses = 0;
  expiries = 0;
  bytesWritten = 0;
  readonly #options: ActivityOptions;
  readonly #meters = new Map<string, Meter>();
  readonly #failures = new Map<string, number>();
  readonly #since: number;

  constructor(options: ActivityOptions) {
    this.#options = options;
    this.#since = options.clock.now();
    for (const meter of [this.gets, this.sets]) this.#meters.set(meter.command, meter);
  }

  /** All commands that have been counted. */
  get meters(): Iterable<Meter> {
    return this.#meters.values();
  }

  meter(command: string): Meter {
    if (command === 'context.set') return this.sets;
    let meter = this.#meters.get(command);
    if (meter === undefined) {
      meter = new Meter(command);
      this.#meters.set(command, meter);
    }
    return meter;
  }

  /** Measures and publishes a write that {@link Meter.begins} has counted. Returns what it returns. */
  write<T>(meter: Meter, request: Request, execute: (request: Request) => T): T {
    const note = (result: unknown, message: { changed?: boolean; position?: number }) => {
      const { changed, position } = result as { readonly changed: boolean; readonly position: number };
      message.changed = changed;
      message.position = position;
    };
    return this.#observe(
      meter,
      () => this.#fieldsOf(request),
      () => execute(request),
      note,
    );
  }

  /** Does the same as {@link write} for a read. `found` counts what it found. */
  read<T>(
    meter: Meter,
    { key, ...about }: Partial<Pick<CommandFields, 'namespace' | 'size' | 'key'>>,
    execute: () => T,
    found: (result: Awaited<T>) => number,
  ): T {
    const fields = () => {
      const message = { ...this.#blank(meter.command), ...about };
      return this.#options.details && key !== undefined ? { ...message, key } : message;
    };
    return this.#observe(meter, fields, execute, (result, message) => {
      message.found = found(result);
    });
  }

  /** Counts, measures and publishes a command about the cache. */
  control<T>(command: string, execute: () => T): T {
    const meter = this.meter(command);
    if (!meter.begins()) return execute();
    return this.#observe(meter, () => this.#blank(command), execute);
  }

  /** Counts a command that has no answer, and returns the function to call at its end. */
  sent(request: Request): (error: Error | undefined) => void {
    const meter = this.meter(request.type);
    meter.begins();
    const published = COMMANDS.isHeard ? COMMANDS.begin(this.#fieldsOf(request), this.#options.details) : undefined;
    return (error) => {
      if (error === undefined) this.wrote(request);
      else this.failed(error, request.type);
      published?.(error, request.result && { changed: request.result.changed, position: request.result.position });
    };
  }

  /** Counts what a write has written. */
  wrote({ steps, bytes, result }: Request): void {
    if (result?.changed !== true) return;
    this.bytesWritten += bytes;
    if (steps !== null) for (const step of steps) this.bytesWritten += step.bytes;
  }

  /** Counts a failure. Without `command` the call was refused before it became one. */
  failed(error: Error, command?: string): void {
    if (command !== undefined) this.meter(command).failed += 1;
    const code = codeOf(error);
    // Errors of other kinds have any name.
    const known = this.#failures.has(code) || this.#failures.size < MAX_CODES ? code : 'Error';
    this.#failures.set(known, (this.#failures.get(known) ?? 0) + 1);
  }

  health(conflicts: number): ActivityHealth {
    const operations: Record<string, OperationActivity> = {};
    for (const meter of this.#meters.values()) if (meter.count > 0) operations[meter.command] = meter.activity;
    const { hits, misses, expiries, bytesWritten } = this;
    const failures = Object.fromEntries(this.#failures);
    return { since: this.#since, operations, hits, misses, conflicts, expiries, bytesWritten, failures };
  }

  #observe<T>(
    meter: Meter,
    fields: () => CommandFields,
    execute: () => T,
    note?: (result: Awaited<T>, message: CommandFields) => void,
  ): T {
    const { weight } = meter;
    const measured = weight === 0 ? execute : () => this.#measure(meter, weight, execute);
    return COMMANDS.isHeard ? COMMANDS.run(fields(), this.#options.details, measured, note) : measured();
  }

  #measure<T>(meter: Meter, weight: number, execute: () => T): T {
    const begin = this.#elapsed();
    const end = () => meter.measured(this.#elapsed() - begin, weight);
    let result: T;
    try {
      result = execute();
    } catch (error) {
      end();
      throw error;
    }
    // Not `result.then`, by which a promise knows that a caller handles it.
    if (result instanceof Promise) Promise.prototype.then.call(result, end, end);
    else end();
    return result;
  }

  #elapsed(): number {
    const { clock } = this.#options;
    return clock.elapsed === undefined ? clock.now() : clock.elapsed();
  }

  #fieldsOf(request: Request): CommandFields {
    const { type, namespace, agent, ifVersion, key, steps, meta } = request;
    const condition = ifVersion === UNCONDITIONAL ? undefined : ifVersion === 0 ? 'create' : 'replace';
    const size = steps === null ? undefined : steps.length;
    const operation = steps === null ? undefined : commonOperation(steps);
    const about = { namespace, agent, size, operation, condition, trace: traceOf(meta) } as const;
    const fields = { ...this.#blank(type), ...about };
    return this.#options.details && !request.isWhole ? { ...fields, key } : fields;
  }

  #blank(command: string): CommandFields {
    const { log } = this.#options;
    const unknown = { size: undefined, operation: undefined, condition: undefined, trace: undefined };
    return { command, namespace: undefined, agent: null, log, ...unknown };
  }
}

/** Most codes that are counted apart: all of the package, and some of other errors. */
const MAX_CODES = 64;
