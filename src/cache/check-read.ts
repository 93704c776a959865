import { ContextCacheError } from '../core/errors.ts';
import { durationOf } from '../engine/durations.ts';
import type { Sequencer } from '../engine/sequencer.ts';
import { READ_OPTIONS } from './option-names.ts';
import type { ReadOptions } from './types.ts';

/**
 * Checks the options of a read, and that the node is not too far behind.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`; `LOG_UNAVAILABLE`; why the node has left service.
 */
export function checkRead(
  sequencer: Pick<Sequencer, 'stalenessMs' | 'failure' | 'reason'> | undefined,
  options: ReadOptions,
): void {
  const { maxStalenessMs } = READ_OPTIONS.checked(options);
  const longest = durationOf('maxStalenessMs', maxStalenessMs);
  if (sequencer === undefined || longest === undefined) return;
  const { stalenessMs, failure, reason } = sequencer;
  // A barrier or more patience would not help.
  if (failure !== undefined) throw failure;
  if (stalenessMs <= longest) return;
  const behind =
    stalenessMs === Number.POSITIVE_INFINITY
      ? 'was never up to date'
      : `was last up to date ${Math.round(stalenessMs)} ms ago`;
  const message = `This node of the cluster ${behind}, and maxStalenessMs is ${longest}.`;
  const remedy =
    reason === undefined
      ? 'Call barrier() first, or read from another node.'
      : `Read from another node until this is mended: ${reason}`;
  throw new ContextCacheError('LOG_UNAVAILABLE', `${message} ${remedy}`);
}
