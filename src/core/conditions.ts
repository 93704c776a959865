import type { Conditions } from './command.ts';
import { invalidCommand } from './invalid-command.ts';

/** The condition of a write without one. Any other is a version that the entry must have, 0 for no entry. */
export const UNCONDITIONAL = -1;
/** The condition of a write that needs an entry, of any version. */
export const ANY_VERSION = -2;

/** All conditions that any write may have. */
type Given = Conditions & { readonly ifDifferent?: boolean | undefined; readonly onConflict?: unknown };

/**
 * Returns the condition of a write: a version, {@link UNCONDITIONAL} or {@link ANY_VERSION}.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`, also for conditions that exclude each other.
 */
export function conditionOf(options: Given | undefined): number {
  if (options === undefined) return UNCONDITIONAL;
  const { ifVersion, ifAbsent, ifPresent } = options;
  if (ifVersion === undefined && ifAbsent === undefined && ifPresent === undefined) return UNCONDITIONAL;
  const absent = flagOf('ifAbsent', ifAbsent);
  const present = flagOf('ifPresent', ifPresent);
  if (Number(ifVersion !== undefined) + Number(absent) + Number(present) > 1)
    throw invalidCommand('give ifVersion, ifAbsent or ifPresent, only one of them');
  if (absent && flagOf('ifDifferent', options.ifDifferent))
    throw invalidCommand('give ifAbsent or ifDifferent, not both: a key that is missing has no value to compare');
  if (absent) return 0;
  if (present) return ANY_VERSION;
  if (ifVersion === undefined) return UNCONDITIONAL;
  if (!Number.isSafeInteger(ifVersion) || ifVersion < 0) throw invalidCommand('ifVersion must be an integer from 0 up');
  return ifVersion;
}

/** Returns whether a write leaves an equal value as it is. */
export function isOnlyIfDifferent(options: Given | undefined): boolean {
  return options?.ifDifferent === undefined ? false : flagOf('ifDifferent', options.ifDifferent);
}

/** Returns whether a batch goes on without an operation whose condition does not hold. */
export function isSkippedOnConflict(options: Given, condition: number): boolean {
  const { onConflict } = options;
  if (onConflict === undefined || onConflict === 'fail') return false;
  if (onConflict !== 'skip') throw invalidCommand("onConflict must be 'fail' or 'skip'");
  if (condition !== UNCONDITIONAL) return true;
  throw invalidCommand("onConflict: 'skip' needs ifVersion, ifAbsent or ifPresent");
}

/** Returns whether a condition holds for an entry of version `present`; 0: the key is missing. */
export function holds(condition: number, present: number): boolean {
  if (condition === UNCONDITIONAL) return true;
  return condition === ANY_VERSION ? present > 0 : condition === present;
}

function flagOf(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true;
  throw invalidCommand(`${name} must be true or false`);
}
