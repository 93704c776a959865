/** A command in flight, and its outcome. */
export interface Slot {
  readonly line: number;
  /** Characters of its line. */
  readonly size: number;
  /** `true` when the command has ended. */
  ended: boolean;
  /** Position of the log when the command was done. */
  position: number;
  /** `undefined` if the command succeeded. */
  error: unknown;
}

/** Most commands in flight: while one half is written to disk, the other half is read and executed. */
export const MAX_COMMANDS = 8_192;
/** Most characters of their lines; a longer line is sent alone. */
const MAX_SIZE = 8 * 1024 * 1024;

/**
 * The commands in flight, a bounded number, in the order they were sent. Their outcomes are taken in that order. Has one
 * sender and one taker.
 */
export class CommandWindow<Command extends Slot> {
  #slots: Command[] = [];
  #size = 0;
  #ended = false;
  #wakeTaker: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  /** True if the next command must wait for {@link room}. */
  get full(): boolean {
    return this.#slots.length >= MAX_COMMANDS || this.#size >= MAX_SIZE;
  }

  /** True if nothing is in flight. */
  get isEmpty(): boolean {
    return this.#slots.length === 0;
  }

  push(slot: Command): void {
    this.#slots.push(slot);
    this.#size += slot.size;
  }

  /** Notes that a command in flight has ended. */
  settle(slot: Command): void {
    slot.ended = true;
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

  /** Takes the commands that have ended, from the oldest on; waits for the first. `undefined` after the end. */
  async take(): Promise<Command[] | undefined> {
    while (this.#slots[0]?.ended !== true) {
      if (this.#ended && this.#slots.length === 0) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
    }
    const unfinished = this.#slots.findIndex(({ ended }) => !ended);
    const taken = unfinished < 0 ? this.#slots : this.#slots.slice(0, unfinished);
    this.#slots = unfinished < 0 ? [] : this.#slots.slice(unfinished);
    for (const { size } of taken) this.#size -= size;
    return taken;
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
