import type { Basis, Reading } from '../core/basis.ts';
import type { Step } from '../core/command.ts';
import type { Update } from '../core/update.ts';
import type { MetEntry } from '../engine/internals.ts';

/** An update of the branch since the common state. */
export interface Write {
  readonly position: number;
  readonly version: number;
  readonly namespace: string;
  /** `null` for an update of several keys. */
  readonly key: string | null;
  readonly keys: readonly string[] | undefined;
  readonly operation: Update['operation'];
  /** `false`: it has no basis, so nothing is known of what its writer had read. */
  readonly isKnown: boolean;
  readonly readings: readonly (Reading | Write)[];
  /** Its readings in terms of the target, once its turn has come. */
  basis: readonly Reading[];
  /** The reading of the update in the target that has brought it. */
  named: Reading | undefined;
  /** The reading of the entry that the target had already as this write has left it, once it was looked up. */
  alike: readonly Reading[] | undefined;
  /** `true` while the step that brings it waits. */
  isPending: boolean;
}

/** The step that brings a write of the branch into the target. */
export interface Wanted {
  readonly name: string;
  /** `undefined`: the namespace is dropped. */
  readonly step: Step | undefined;
  /** `true` if `onConflict` has given the value. */
  readonly isNew: boolean;
}

/** A step of a merge, and the write that it brings. */
export interface Brought {
  readonly step: Step;
  /** `undefined`: it removes an entry, or stores something else than the branch. */
  readonly write: Write | undefined;
}

export function isWrite(reading: Reading | Write | MetEntry): reading is Write {
  return 'operation' in reading;
}

export function hasRead(update: Update): boolean {
  return update.basis !== undefined || update.operation === 'touch';
}

export function isSet({ operation }: Write): boolean {
  return operation === 'set' || operation === 'touch';
}

export function isOf({ key, keys }: Write, name: string): boolean {
  return key === null ? (keys?.includes(name) ?? true) : key === name;
}

export function withBasis(step: Step, basis: Basis | undefined): Step {
  return basis === undefined ? step : { ...step, basis };
}
