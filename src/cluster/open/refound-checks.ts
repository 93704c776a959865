import { ContextCacheError } from '../../core/errors.ts';
import type { StoredMachine } from '../machine/machine.ts';

/** The stream that is replaced. Without epoch: it has no leader, and `stream` says so. */
export interface OldStream {
  readonly stream: string;
  readonly epoch: string | undefined;
  readonly last: number | undefined;
  readonly replicas?: number | undefined;
  readonly maxBytes?: number | undefined;
}

/** The newest whole snapshot. */
export interface KnownSnapshot {
  readonly id: string;
  readonly log: string;
  readonly sequence: number;
  readonly position: number;
  /** Epochs of the streams that its stream continues. */
  readonly continues: readonly string[];
}

/** What is known when a stream is founded from the state of another one. */
export interface Refounding {
  /** `undefined`: the stream does not exist. */
  readonly old: OldStream | undefined;
  /** The newest whole snapshot. */
  readonly known: KnownSnapshot | undefined;
  /** The state that the new stream goes on from. */
  readonly machine: StoredMachine;
  readonly previousEpoch: string;
  /** Epochs of the streams that the stream of the state continues. */
  readonly ancestors: readonly string[];
  readonly force: boolean;
}

const FORCE = 'Give force (--force) to do it nevertheless.';

/**
 * Refuses to replace a stream that can be used, and to go on from a state when a newer one is known.
 *
 * @throws {ContextCacheError} `NOT_EMPTY`, `LOG_UNAVAILABLE`, `POSITION_UNAVAILABLE`.
 */
export function checkRefounding({ old, known, machine, previousEpoch, ancestors, force }: Refounding): void {
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
  if (known === undefined || known.log === previousEpoch || ancestors.includes(known.log)) return;
  // An attempt that failed leaves a snapshot of a stream that never began. It must not block the next attempt.
  const isAttempt = known.continues.includes(previousEpoch) && isUnstarted(known);
  if (isAttempt && known.position <= position) return;
  const relation = known.continues.includes(previousEpoch) ? 'a later stream' : 'another stream';
  const message = `Snapshot ${known.id} has message ${known.sequence} (position ${known.position}) of ${relation} (epoch ${known.log}), and the state to go on from is at position ${position} of the stream with epoch ${previousEpoch}.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', `${message} Go on from that snapshot. ${FORCE}`);
}

/** Returns whether a snapshot is of a stream in which no message was applied: one that was just founded, or never. */
export function isUnstarted({ sequence, continues }: Pick<KnownSnapshot, 'sequence' | 'continues'>): boolean {
  return sequence === 0 && continues.length > 0;
}

/**
 * Checks the settings of the new stream, before anything changes.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkStreamSize({ replicas, maxBytes }: Pick<OldStream, 'replicas' | 'maxBytes'>): void {
  if (replicas !== undefined && ![1, 3, 5].includes(replicas)) {
    throw new ContextCacheError('INVALID_OPTION', `replicas is ${replicas}. Give 1, 3 or 5.`);
  }
  if (maxBytes !== undefined && (!Number.isSafeInteger(maxBytes) || maxBytes < 1)) {
    throw new ContextCacheError('INVALID_OPTION', `maxBytes is ${maxBytes}. Give a number of bytes from 1.`);
  }
}

/** Returns the same text for answers about the old stream that lead to the same decision. */
export function keyOfStream(old: OldStream | undefined): string {
  return old === undefined ? 'gone' : `${old.epoch ?? 'no leader'} ${old.last ?? ''}`;
}

/** Creates the error for a stream that changes while it is to be replaced. */
export function changing(): ContextCacheError {
  const message = 'The answers about the stream keep changing: it is in use, or its servers elect a leader.';
  return new ContextCacheError('LOG_UNAVAILABLE', `${message} Stop all nodes and wait for the servers. ${FORCE}`);
}
