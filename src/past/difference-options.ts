import { optionNames } from '../core/options.ts';

/** Options of `diff`. */
export interface DifferenceOptions<Namespace extends string = string> {
  /** Compares only this namespace. Default: all. */
  readonly namespace?: Namespace | undefined;
}

/** For `diff` here and of a cache. */
export const DIFF_OPTIONS = optionNames<DifferenceOptions>('diff', { namespace: true });
