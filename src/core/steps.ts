import { LONGEST_SUFFIX } from './append-key.ts';
import type { Conditions, ConflictOption, RemoveOptions, Step, TouchOptions } from './command.ts';
import { conditionOf, isSkippedOnConflict, UNCONDITIONAL } from './conditions.ts';
import { ContextCacheError } from './errors.ts';
import { expiryOf } from './expiry.ts';
import { invalidCommand as invalid } from './invalid-command.ts';
import { checkName } from './names.ts';

/** Steps of commands that store no value. */

export function inBatch(step: Step, given: ConflictOption): Step {
  return given.onConflict === undefined ? step : { ...step, skips: isSkippedOnConflict(given, step.ifVersion) };
}

export function deleteStep(key: string, options: RemoveOptions | undefined): Step {
  checkName('key', key);
  return { operation: 'delete', key, value: null, bytes: 0, expiresAt: null, ifVersion: conditionOf(options) };
}

export function checkStep(key: string, conditions: Conditions & ConflictOption): Step {
  checkName('key', key);
  const ifVersion = conditionOf(conditions);
  if (ifVersion === UNCONDITIONAL) throw invalid('a check needs ifVersion, ifAbsent or ifPresent');
  if (isSkippedOnConflict(conditions, ifVersion)) throw invalid("a check cannot have onConflict: 'skip'");
  return { operation: 'delete', key, value: null, bytes: 0, expiresAt: null, ifVersion, isCheck: true };
}

export function touchStep(at: number, key: string, options: TouchOptions | undefined): Step {
  checkName('key', key);
  if (options?.ttl === undefined && options?.expiresAt === undefined) {
    throw invalid('a touch needs ttl or expiresAt (expiresAt: null makes the entry stay)');
  }
  return {
    operation: 'touch',
    key,
    value: null,
    bytes: 0,
    expiresAt: expiryOf(at, options),
    ifVersion: conditionOf(options),
  };
}

/** Makes the error of an `append` whose keys could be longer than the limit. */
export function tooShortKeys(maxKeyBytes: number): ContextCacheError {
  const problem = `append gives keys of up to ${LONGEST_SUFFIX} bytes, and limits.maxKeyBytes allows ${maxKeyBytes}`;
  return new ContextCacheError('INVALID_NAME', `${problem}. Raise limits.maxKeyBytes, or set a key of your own.`);
}
