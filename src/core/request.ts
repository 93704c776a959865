import type { Basis } from './basis.ts';
import type { Acknowledgement, DataCommand, Step } from './command.ts';
import { UNCONDITIONAL } from './conditions.ts';
import { timedExpiry } from './expiry.ts';
import type { Meta } from './meta.ts';
import type { Origin } from './origin.ts';
import type { JsonValue } from './value.ts';

const NO_STEP: Step = {
  operation: 'delete',
  key: '',
  value: null,
  bytes: 0,
  expiresAt: null,
  ifVersion: UNCONDITIONAL,
};

/** The type of a command, or of a part of a transaction. */
export type RequestType = DataCommand['type'] | 'context.transaction';

/** Called when a request has a result or an error. */
export type Settled = (request: Request) => void;

/**
 * An admitted data command: names checked, value copied, durations turned into instants, stamped with the time. It is the
 * event of supervisor and namespace actors. A command of one step is that step itself, which saves the hot path an
 * array.
 */
export class Request implements Step {
  readonly type: RequestType;
  readonly namespace: string;
  readonly at: number;
  readonly agent: string | null;
  readonly meta: Meta | undefined;
  readonly operationId: string | undefined;
  readonly basis: Basis | undefined;
  readonly operation: Step['operation'];
  readonly key: string;
  readonly value: JsonValue;
  readonly bytes: number;
  readonly expiresAt: number | null;
  readonly ifVersion: number;
  readonly ifDifferent: boolean;
  readonly finish: Step['finish'];
  /** The steps of a batch. */
  readonly steps: readonly Step[] | null;

  /** Set once, by {@link succeed}. */
  result: Acknowledgement | undefined = undefined;
  /** Set once, by {@link fail}. */
  error: Error | undefined = undefined;
  #onSettled: Settled | undefined = undefined;

  /**
   * Creates the request of a single step, or, with `steps`, of a whole namespace (see {@link ofWhole}). The step's
   * fields are copied; the engine inlines the call and does not allocate the step.
   */
  constructor(
    type: RequestType,
    namespace: string,
    at: number,
    origin: Origin,
    step: Step,
    steps: readonly Step[] | null = null,
  ) {
    this.type = type;
    this.namespace = namespace;
    this.at = at;
    this.agent = origin.agent;
    this.meta = origin.meta;
    this.operationId = origin.operationId;
    this.basis = origin.basis;
    this.operation = step.operation;
    this.key = step.key;
    this.value = step.value;
    this.bytes = step.bytes;
    this.expiresAt = step.expiresAt;
    this.ifVersion = step.ifVersion;
    this.ifDifferent = step.ifDifferent === true;
    this.finish = step.finish;
    this.steps = steps;
  }

  /** Creates the request of a clear, a drop, or a batch of steps. The key of a clear is the prefix of the keys that go. */
  static ofWhole(
    type: 'context.clear' | 'context.drop' | 'context.batch' | 'context.transaction',
    namespace: string,
    at: number,
    origin: Origin,
    steps: readonly Step[] | null = null,
    prefix = '',
  ): Request {
    return new Request(type, namespace, at, origin, prefix === '' ? NO_STEP : { ...NO_STEP, key: prefix }, steps);
  }

  /**
   * Returns the same request, not settled, at an instant. What expires some time after an untimed request expires as long
   * after this instant.
   */
  timed(at: number): Request {
    const steps = this.steps?.map((step) => ({ ...step, expiresAt: timedExpiry(at, step.expiresAt) })) ?? null;
    const timed = new Request(this.type, this.namespace, at, this, this, steps);
    setInstant(timed, at);
    return timed;
  }

  /** Takes in its instant once the request was executed in a copy that had it. */
  executedAt(at: number): void {
    setInstant(this, at);
  }

  /** `true` for a clear, a drop, a batch or a part of a transaction; `false` for a request that is a step itself. */
  get isWhole(): boolean {
    const { type } = this;
    return this.steps !== null || type === 'context.clear' || type === 'context.drop';
  }

  get settled(): boolean {
    return this.result !== undefined || this.error !== undefined;
  }

  /** Settles the request. Only the first result or error counts. */
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

  /** Calls back when the request is settled, or at once if it is. One listener. */
  whenSettled(listener: Settled): void {
    if (this.settled) listener(this);
    else this.#onSettled = listener;
  }
}

function setInstant(request: { -readonly [Field in 'at' | 'expiresAt']: Request[Field] }, at: number): void {
  request.at = at;
  request.expiresAt = timedExpiry(at, request.expiresAt);
}
