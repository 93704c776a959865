import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { ContextCacheError } from '../core/errors.ts';

/** How an operation ended. The fields are set while it is published. */
export interface Outcome {
  /** True once the operation has ended: in `end` if it ended in the turn that it began in, otherwise in `asyncEnd`. */
  done: boolean;
  /** Code of the error, or the name of an error of another kind; `undefined` if the operation succeeded. */
  code: string | undefined;
  /** The error itself, which may hold keys and values. Only with `monitoring: { details: true }`. */
  error?: Error;
}

/** A message after its last event: the fields of an {@link Outcome} are the publisher's. */
export type Message<Fields> = Readonly<Fields> & { readonly [Field in keyof Outcome]: Outcome[Field] };

/**
 * Publishes operations on a tracing channel of `node:diagnostics_channel`. Each has one message object for all its events:
 * `start`, then `end` with `done: true`, or `end`, `asyncStart` and `asyncEnd` if it takes longer; `error` before the last
 * one if it fails. Costs a nanosecond an operation while the channel has no subscriber.
 */
export class Trace<Fields extends object> {
  readonly name: string;
  readonly #channel: TracingChannel<unknown, Fields & Outcome>;

  constructor(name: string) {
    this.name = name;
    this.#channel = tracingChannel<unknown, Fields & Outcome>(name);
  }

  /** True if any of the five channels has a subscriber. */
  get isHeard(): boolean {
    // Not `hasSubscribers` of the channel itself, which not every runtime has.
    const { start, end, asyncEnd, error, asyncStart } = this.#channel;
    return (
      start.hasSubscribers ||
      end.hasSubscribers ||
      asyncEnd.hasSubscribers ||
      error.hasSubscribers ||
      asyncStart.hasSubscribers
    );
  }

  /**
   * Runs an operation and publishes it. Returns what it returns, a promise itself included: whether a caller handles its
   * rejection stays visible. `note` adds what is known at the end to the message.
   */
  run<T>(
    fields: Fields,
    details: boolean,
    operation: () => T,
    note?: (result: Awaited<T>, message: Fields) => void,
  ): T {
    const { start } = this.#channel;
    const message = { ...fields, done: false, code: undefined };
    return start.runStores(message, () => this.#run(message, details, operation, note));
  }

  /**
   * Publishes an operation that the caller runs. Returns the function that publishes its end, which takes the error if it
   * failed.
   */
  begin(fields: Fields, details: boolean): (error?: Error, more?: Partial<Fields>) => void {
    const message: Fields & Outcome = { ...fields, done: false, code: undefined };
    this.#channel.start.publish(message);
    this.#channel.end.publish(message);
    return (error, more) => {
      Object.assign(message, more);
      this.#end(message, details, error);
    };
  }

  /** Publishes an operation that was over when it was noticed. */
  whole(fields: Fields, details: boolean, error?: Error): void {
    const message: Fields & Outcome = { ...fields, ...outcomeOf(error, details) };
    this.#channel.start.publish(message);
    if (error !== undefined) this.#channel.error.publish(message);
    this.#channel.end.publish(message);
  }

  #run<T>(
    message: Fields & Outcome,
    details: boolean,
    operation: () => T,
    note: ((result: Awaited<T>, message: Fields) => void) | undefined,
  ): T {
    const { end, error: failed } = this.#channel;
    let result: T;
    try {
      result = operation();
    } catch (error) {
      Object.assign(message, outcomeOf(error, details));
      failed.publish(message);
      end.publish(message);
      throw error;
    }
    if (!(result instanceof Promise)) {
      note?.(result as Awaited<T>, message);
      message.done = true;
      end.publish(message);
      return result;
    }
    // Not `result.then`, by which a promise knows that a caller handles it.
    Promise.prototype.then.call(
      result,
      (value) => {
        note?.(value as Awaited<T>, message);
        this.#end(message, details);
      },
      (error) => this.#end(message, details, error),
    );
    end.publish(message);
    return result;
  }

  #end(message: Fields & Outcome, details: boolean, error?: unknown): void {
    const { asyncStart, asyncEnd, error: failed } = this.#channel;
    Object.assign(message, outcomeOf(error, details));
    if (error !== undefined) failed.publish(message);
    asyncStart.publish(message);
    asyncEnd.publish(message);
  }
}

function outcomeOf(error: unknown, details: boolean): Outcome {
  if (error === undefined) return { done: true, code: undefined };
  const outcome = { done: true, code: codeOf(error) };
  return details && error instanceof Error ? { ...outcome, error } : outcome;
}

/** Returns the code of an error, or the name of an error of another kind. Neither comes from a caller's data. */
export function codeOf(error: unknown): string {
  if (error instanceof ContextCacheError) return error.code;
  return error instanceof Error ? error.name : 'Error';
}
