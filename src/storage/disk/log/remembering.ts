import { OperationWindow } from '../../../core/operations.ts';
import { floorAfter, type Remembered, rememberedOf } from '../../../core/remembered.ts';
import { DROPS, type Frame, OPERATIONS } from './frame.ts';
import { bareUpdatesOf, updatesOf } from './update-record.ts';

/** Reads a file of the log from its heading on, and gathers what the log remembers at the end of the frames read so far. */
export class Remembering {
  readonly #operations = new OperationWindow();
  #floor: number;

  constructor({ operations, floor = 0 }: Remembered) {
    this.#operations.restore(operations);
    this.#floor = floor;
  }

  /** Takes in the updates of the next frame, up to a position. */
  add(frame: Frame, until = Number.POSITIVE_INFINITY): void {
    if ((frame.flags & OPERATIONS) !== 0) for (const update of updatesOf(frame, 0, until)) this.#operations.add(update);
    this.#floor = floorBehind(this.#floor, frame, until);
  }

  /** Returns what is remembered behind the frames so far. */
  stored(): Remembered {
    return rememberedOf(this.#operations, this.#floor, Number.POSITIVE_INFINITY);
  }
}

/** Returns the floor of versions behind a frame, whose updates count up to a position. */
export function floorBehind(floor: number, frame: Frame, until = Number.POSITIVE_INFINITY): number {
  if ((frame.flags & DROPS) === 0) return floor;
  return bareUpdatesOf(frame, 0, until).reduce(floorAfter, floor);
}
