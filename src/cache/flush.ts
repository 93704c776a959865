import type { Engine } from '../engine/engine.ts';

/**
 * Resolves when everything written so far is durable. On a node of a cluster: when everything that was acknowledged anywhere is visible on this
 * node, and its own log, if it is on disk, has written it.
 */
export function flush({ sequencer, log }: Pick<Engine, 'sequencer' | 'log'>): Promise<void> {
  return sequencer === undefined ? log.flush() : sequencer.barrier().then(() => log.flush());
}
