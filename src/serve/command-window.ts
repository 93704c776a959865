/** A command in flight. */
export interface Slot<Outcome> {
  readonly bytes: number;
  /** Set when the command has ended. */
  outcome: Outcome | undefined;
}

/** Most commands in flight: while one half is written to disk, the other half is read and executed. */
export const MAX_COMMANDS = 8_192;
/** Most bytes of their lines; a larger line is sent alone. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * The commands in flight, a bounded number, in the order they were sent. Their outcomes are taken in that order. Has one
 * sender and one taker.
 */
export class CommandWindow<Outcome> {
  #slots: Slot<Outcome>[] = [];
  #bytes = 0;
  #ended = false;
  #wakeTaker: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  /** True if the next command must wait for {@link room}. */
  get full(): boolean {
    return this.#slots.length >= MAX_COMMANDS || this.#bytes >= MAX_BYTES;
  }

  /** True if nothing is in flight. */
  get isEmpty(): boolean {
    return this.#slots.length === 0;
  }

  push(bytes: number): Slot<Outcome> {
    const slot: Slot<Outcome> = { bytes, outcome: undefined };
    this.#slots.push(slot);
    this.#bytes += bytes;
    return slot;
  }

  settle(slot: Slot<Outcome>, outcome: Outcome): void {
    slot.outcome = outcome;
    if (this.#slots[0] === slot) this.#wakeTaker?.();
  }

  /** Resolves when `ready` is true. Tests it whenever outcomes were taken. */
  async room(ready: () => boolean): Promise<void> {
    while (!ready()) {
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve;
      });
    }
  }

  /** Takes the outcomes known so far, from the oldest command on; waits for the first. `undefined` after the end. */
  async take(): Promise<Outcome[] | undefined> {
    while (this.#slots[0]?.outcome === undefined) {
      if (this.#ended && this.#slots.length === 0) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
    }
    const outcomes: Outcome[] = [];
    for (const slot of this.#slots) {
      if (slot.outcome === undefined) break;
      outcomes.push(slot.outcome);
      this.#bytes -= slot.bytes;
    }
    this.#slots.splice(0, outcomes.length);
    return outcomes;
  }

  /** Admits further commands after outcomes were taken and handled. */
  release(): void {
    this.#wakeSender?.();
  }

  /** Marks the end: no more commands are sent. */
  end(): void {
    this.#ended = true;
    this.#wakeTaker?.();
  }
}
