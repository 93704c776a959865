import type { Acknowledgement, DataCommand, Step } from './command.ts';
import type { JsonValue } from './value.ts';

/** Who waits for a request's end. */
export type Settled = (request: Request) => void;

/**
 * A data command that has been let in: names checked, value admitted, durations made instants, stamped with the time.
 * It is the event that supervisor and namespace actors get. For a command of one step it is that step itself, which
 * spares the hot path an array.
 */
export class Request implements Step {
  readonly type: DataCommand['type'];
  readonly namespace: string;
  readonly at: number;
  readonly agent: string | null;
  readonly operation: Step['operation'];
  readonly key: string;
  readonly value: JsonValue;
  readonly bytes: number;
  readonly expiresAt: number | null;
  readonly ifVersion: number;
  /** The steps of a batch. */
  readonly steps: readonly Step[] | null;

  /** Set once, by {@link succeed}. */
  result: Acknowledgement | undefined = undefined;
  /** Set once, by {@link fail}. */
  error: Error | undefined = undefined;
  #onSettled: Settled | undefined = undefined;

  constructor(
    type: DataCommand['type'],
    namespace: string,
    at: number,
    agent: string | null,
    operation: Step['operation'],
    key: string,
    value: JsonValue,
    bytes: number,
    expiresAt: number | null,
    ifVersion: number,
    steps: readonly Step[] | null,
  ) {
    this.type = type;
    this.namespace = namespace;
    this.at = at;
    this.agent = agent;
    this.operation = operation;
    this.key = key;
    this.value = value;
    this.bytes = bytes;
    this.expiresAt = expiresAt;
    this.ifVersion = ifVersion;
    this.steps = steps;
  }

  /** Of one step. */
  static ofStep(type: DataCommand['type'], namespace: string, at: number, agent: string | null, step: Step): Request {
    const { operation, key, value, bytes, expiresAt, ifVersion } = step;
    return new Request(type, namespace, at, agent, operation, key, value, bytes, expiresAt, ifVersion, null);
  }

  /** Of a namespace as a whole: a clear, a drop, or a batch of steps. */
  static ofWhole(
    type: 'context.clear' | 'context.drop' | 'context.batch',
    namespace: string,
    at: number,
    agent: string | null,
    steps: readonly Step[] | null = null,
  ): Request {
    return new Request(type, namespace, at, agent, 'delete', '', null, 0, null, -1, steps);
  }

  get settled(): boolean {
    return this.result !== undefined || this.error !== undefined;
  }

  /** Only the first end counts. */
  succeed(result: Acknowledgement): void {
    if (this.settled) return;
    this.result = result;
    this.#onSettled?.(this);
  }

  fail(error: Error): void {
    if (this.settled) return;
    this.error = error;
    this.#onSettled?.(this);
  }

  /** Calls back when the request ends; at once where it has. One listener. */
  whenSettled(listener: Settled): void {
    if (this.settled) listener(this);
    else this.#onSettled = listener;
  }
}
