/** A command that has been sent and whose end is awaited. */
export interface Slot<Outcome> {
  readonly bytes: number;
  /** Set when the command has ended. */
  outcome: Outcome | undefined;
}

/** Commands in flight at the most: while the disk has one half, the other is read and carried out. */
export const MAX_COMMANDS = 8_192;
/** Bytes of their lines at the most; a larger line goes alone. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * The commands in flight, in the order they were sent: how many there may be is bounded, and their outcomes come out
 * in that order. One sender, one taker.
 */
export class CommandWindow<Outcome> {
  #slots: Slot<Outcome>[] = [];
  #bytes = 0;
  #ended = false;
  #wakeTaker: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  /** Whether one more has to wait for {@link room}. */
  get full(): boolean {
    return this.#slots.length >= MAX_COMMANDS || this.#bytes >= MAX_BYTES;
  }

  /** Whether nothing is in flight. */
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

  /** Resolves once `ready` holds; looked at whenever outcomes were taken. */
  async room(ready: () => boolean): Promise<void> {
    while (!ready()) {
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve;
      });
    }
  }

  /** Outcomes that are there, from the oldest command on; waits for the first. `undefined` after the end. */
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

  /** Outcomes that were taken have been dealt with: now others may come. */
  release(): void {
    this.#wakeSender?.();
  }

  /** Nothing more is sent. */
  end(): void {
    this.#ended = true;
    this.#wakeTaker?.();
  }
}
