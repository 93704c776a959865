import type { Clock } from '../../../core/clock.ts';
import type { ErrorHandler } from '../../log-signals.ts';
import type { RingCapacity } from '../../update-ring.ts';
import type { Files } from '../files.ts';

/**
 * Options of `DiskLog.open`. The capacities bound the latest updates that are kept in memory for followers. If
 * `capacityUpdates` is not given, 16,384 are kept, and up to 65,536 while a follower has not received them.
 */
export interface DiskLogOptions extends RingCapacity {
  /** The data directory. Created with mode 0700 if it does not exist. Used by one process at a time. */
  readonly dataDir: string;
  /** Times the back-off after a failure. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /**
   * `true` if a group counts as committed only when the disk has it. Default true. With false it survives a crash of
   * the process but not of the machine.
   */
  readonly sync?: boolean | undefined;
  /** Estimated bytes that may wait to be written before `append` throws `OVERLOADED`. Default 256 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** Receives what a listener throws. Default: thrown outside the log, as an uncaught exception. */
  readonly onError?: ErrorHandler | undefined;
  /** Id of a log that is created. Default: a random one. */
  readonly id?: string | undefined;
  /** The file system. Default: that of the machine. */
  readonly files?: Files | undefined;
}
