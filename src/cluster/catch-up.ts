import { type Clock, elapsedBy } from '../core/clock.ts';
import { closed, unread } from './node-errors.ts';

/** The parts of a node that {@link catchUp} watches. */
interface Reading {
  readonly machine: { readonly sequence: number };
  readonly isRunning: boolean;
  readonly failure: Error | undefined;
  readonly reason: string | undefined;
  onApplied(listener: () => void): () => void;
}

/**
 * Does what {@link catchUp} does in rounds, because others write meanwhile: until one was so short that a hello, which lies behind
 * what is new, is read within `timeoutMs`. `ask` returns the newest message of the stream.
 */
export async function catchUpInRounds(
  node: Reading,
  { last, ask }: { readonly last: number; readonly ask: () => Promise<number> },
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  for (let end = last; ; end = await ask()) {
    const since = elapsedBy(clock);
    await catchUp(node, end, clock, timeoutMs);
    if (elapsedBy(clock) - since < timeoutMs / 4) return;
  }
}

/**
 * Resolves once a node has applied the message `last`. However long that takes: the time counts from the last message
 * that it has applied.
 *
 * @throws {ContextCacheError} (as a rejection) `LOG_UNAVAILABLE` if nothing was applied for `timeoutMs`; why the node has left
 *   service; `CLOSED`.
 */
function catchUp(node: Reading, last: number, clock: Clock, timeoutMs: number): Promise<void> {
  const { machine } = node;
  return new Promise((resolve, reject) => {
    let seen = machine.sequence;
    let timer: unknown;
    const end = (error?: Error) => {
      stop();
      clock.clearTimeout(timer);
      if (error === undefined) resolve();
      else reject(error);
    };
    const look = () => {
      if (!node.isRunning) end(node.failure ?? closed());
      else if (machine.sequence >= last) end();
    };
    const wait = () => {
      timer = clock.setTimeout(() => {
        if (machine.sequence === seen) {
          end(unread(seen, last, node.reason));
          return;
        }
        seen = machine.sequence;
        wait();
      }, timeoutMs);
    };
    const stop = node.onApplied(look);
    wait();
    look();
  });
}
