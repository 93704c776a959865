import type { Clock } from '../core/clock.ts';
import type { ClusterNode } from './node.ts';

/** Longest wait for a goodbye in milliseconds. */
const GOODBYE_MS = 1_000;

/**
 * Tells the other nodes that a node is shut down, so that they do not count it as a member any more. If that is lost, or is not done
 * within `timeoutMs` or a second, they count it for another minute. Call it last: nothing that the node sends later is applied.
 */
export function leave(
  node: Pick<ClusterNode, 'status' | 'submit'>,
  isConnected: boolean,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  if (node.status !== 'ready' || !isConnected || timeoutMs <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.setTimeout(resolve, Math.min(timeoutMs, GOODBYE_MS));
    const settle = () => {
      clock.clearTimeout(timer);
      resolve();
    };
    node.submit({ type: 'leave' }, settle, true);
  });
}
