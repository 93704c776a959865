import type { Duration } from '../core/command.ts';
import { toMilliseconds } from '../core/duration.ts';
import { ContextCacheError } from '../core/errors.ts';
import { limitsOf } from '../core/limits.ts';
import type { EngineOptions, OpenOptions } from './options.ts';

/**
 * Returns a duration in milliseconds; `undefined` if none is given. `name` is the option that the error names.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` unless it is a number from 0 or a text such as `'10s'`.
 */
export function durationOf(name: string, given: Duration | undefined): number | undefined {
  if (given === undefined) return undefined;
  const parsed = toMilliseconds(given);
  if (parsed !== undefined && parsed >= 0) return parsed;
  const allowed = `a number of milliseconds from 0, or a text such as '10s' or '5m'`;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be ${allowed}, not ${JSON.stringify(given)}.`);
}

/** Returns a copy of an option object with the named durations in milliseconds. */
function converted<Options extends object>(owner: string, given: Options, names: readonly (keyof Options & string)[]) {
  const options = { ...given } as Record<string, unknown>;
  for (const name of names) {
    const value: unknown = given[name];
    if (typeof value === 'string') options[name] = durationOf(`${owner}${name}`, value);
  }
  return options;
}

/**
 * Returns the options with every duration in milliseconds, and checks their limits. Other numbers are left for the parts to check.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` naming the option.
 */
export function inMilliseconds<Given extends object>(given: Given): EngineOptions & Omit<Given, keyof EngineOptions> {
  limitsOf((given as OpenOptions).limits);
  const options = converted('', given as OpenOptions, ['mirrorTimeoutMs', 'passivateAfterMs']);
  const { log, restart, backOff } = given as OpenOptions;
  if (log !== undefined) options.log = converted('log.', log, ['keepMs']);
  if (restart !== undefined) options.restart = converted('restart.', restart, ['periodMs', 'backOffMs']);
  if (backOff !== undefined) options.backOff = converted('backOff.', backOff, ['initialMs', 'maximumMs']);
  return options as unknown as EngineOptions & Omit<Given, keyof EngineOptions>;
}
