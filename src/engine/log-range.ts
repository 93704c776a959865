import { optionNames } from '../core/options.ts';

/** Which updates of the log. */
export interface LogRange {
  /** First position. Default: the oldest the log holds. */
  readonly from?: number | undefined;
  /** Last position. Default: the last committed one. */
  readonly to?: number | undefined;
  /** Only of this namespace. Default: all. */
  readonly namespace?: string | undefined;
}

export const LOG_RANGE = optionNames<LogRange>('readLog', { from: true, to: true, namespace: true });
