import { ContextCacheError } from '../../core/errors.ts';
import type { StoredMachine } from '../machine/machine.ts';

/** The stream that is replaced. Without epoch: it has no leader, and `stream` says so. */
export interface OldStream {
  readonly stream: string;
  readonly epoch: string | undefined;
  readonly last: number | undefined;
}

/** What is known when a stream is founded from the state of another one. */
export interface Refounding {
  /** `undefined`: the stream does not exist. */
  readonly old: OldStream | undefined;
  /** The newest whole snapshot. */
  readonly known: { readonly id: string; readonly log: string; readonly sequence: number } | undefined;
  /** The state that the new stream goes on from. */
  readonly machine: StoredMachine;
  readonly previousEpoch: string;
  readonly force: boolean;
}

const FORCE = 'Give force (--force) to do it nevertheless.';

/**
 * Refuses to replace a stream that can be used, and to go on from a state when a newer one is known.
 *
 * @throws {ContextCacheError} `NOT_EMPTY`, `LOG_UNAVAILABLE`, `POSITION_UNAVAILABLE`.
 */
export function checkRefounding({ old, known, machine, previousEpoch, force }: Refounding): void {
  if (force) return;
  const { sequence, position } = machine;
  const source = `The state to go on from has message ${sequence} (position ${position})`;
  if (old !== undefined && old.epoch === undefined) {
    const message = `${old.stream} Replacing the stream would lose what its servers have after message ${sequence}.`;
    throw new ContextCacheError('LOG_UNAVAILABLE', `${message} Start them. ${FORCE}`);
  }
  if (old !== undefined && old.epoch !== previousEpoch) {
    const message = `The stream ${old.stream} is another one (epoch ${old.epoch}, messages up to ${old.last}) than that of the state to go on from (epoch ${previousEpoch}).`;
    throw new ContextCacheError('NOT_EMPTY', `${message} Replacing it would lose all of its messages. ${FORCE}`);
  }
  if (old?.last !== undefined && old.last >= sequence) {
    const lost = old.last - sequence;
    const message = `The stream ${old.stream} can be used: its newest message is ${old.last}. ${source}: ${lost} messages would be lost.`;
    throw new ContextCacheError('NOT_EMPTY', `${message} Start the nodes on it. ${FORCE}`);
  }
  if (known !== undefined && known.log === previousEpoch && known.sequence > sequence) {
    const message = `${source}, and snapshot ${known.id} has message ${known.sequence}: ${known.sequence - sequence} messages would be lost.`;
    throw new ContextCacheError('POSITION_UNAVAILABLE', `${message} Go on from that snapshot. ${FORCE}`);
  }
}
