import { optionNames } from '../core/options.ts';

/** A range of updates in the log. */
export interface LogRange {
  /** First position. Default: the oldest that the log holds. */
  readonly from?: number | undefined;
  /** Last position. Default: the last committed one. */
  readonly to?: number | undefined;
  /** Only updates of this namespace. Default: all. */
  readonly namespace?: string | undefined;
}

export const LOG_RANGE = optionNames<LogRange>('readLog', { from: true, to: true, namespace: true });
