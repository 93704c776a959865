/** A running call, as one of its callers holds it. */
export interface Held<Result> {
  readonly result: Promise<Result>;
  /** Ends this caller's interest. The call is aborted when no caller is left. */
  readonly release: () => void;
}

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly abort: AbortController;
  callers: number;
}

/** Calls in progress by key. Callers of the same key share one call. */
export class Flights<Result> {
  readonly #flights = new Map<string, Flight<Result>>();

  /** Resolves with the result of the shared call, or rejects as soon as the caller's own signal aborts. */
  async join(
    key: string,
    signal: AbortSignal | undefined,
    start: (abort: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const held = this.hold(key, signal, async (abort, ended) => {
      try {
        return await start(abort);
      } finally {
        ended();
      }
    });
    try {
      return await held.result;
    } finally {
      held.release();
    }
  }

  /** Joins a call that goes on after its result, until it calls `ended`; a call that fails has ended. */
  hold(
    key: string,
    signal: AbortSignal | undefined,
    start: (abort: AbortSignal, ended: () => void) => Promise<Result>,
  ): Held<Result> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#start(key, start);
    flight.callers += 1;
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      flight.callers -= 1;
      const isOver = this.#flights.get(key) !== flight;
      if (flight.callers > 0 || isOver) return;
      this.#flights.delete(key);
      flight.abort.abort(signal?.aborted ? signal.reason : undefined);
    };
    if (signal === undefined) return { result: flight.result, release };
    const result = new Promise<Result>((resolve, reject) => {
      const abort = () => {
        release();
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
      flight.result.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
    return { result, release };
  }

  #start(key: string, start: (abort: AbortSignal, ended: () => void) => Promise<Result>): Flight<Result> {
    const abort = new AbortController();
    const ended = () => this.#forget(key, flight);
    const result = start(abort.signal, ended);
    const flight: Flight<Result> = { result, abort, callers: 0 };
    this.#flights.set(key, flight);
    result.catch(ended);
    return flight;
  }

  #forget(key: string, flight: Flight<Result>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
