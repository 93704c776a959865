import { ContextCacheError } from '../core/errors.ts';
import type { Command } from './machine/commands.ts';
import type { LeaseResult } from './machine/leases.ts';
import { LIVE_MS, type Machine, type Outcome, PROTOCOL_LEASE } from './machine/machine.ts';

/** Milliseconds of the stream's time after which a raise that was held up on its way is refused. */
const RAISE_MS = 10_000;

/** The parts of a node that {@link raiseProtocol} uses. */
interface Raising {
  readonly machine: Machine;
  barrier(): Promise<void>;
  submit(command: Command, settle: (outcome: Outcome) => void, isUrgent?: boolean): void;
}

/**
 * Raises the protocol of a cluster. Resolves with the protocol that it has then. Default: the highest one that all members understand.
 *
 * Every node decides by the stream alone whether a raise is done: each member has announced in its hello what it understands. A member that
 * could not speak for a minute, because the stream was down, would not be counted. So nothing is sent within a minute after a silence
 * of the stream, and a raise that a later silence has held up is refused, because its lease is over.
 *
 * @throws {ContextCacheError} (as a rejection) `FORMAT_UNSUPPORTED` if a member does not understand it; `INVALID_OPTION` if it is lower than the
 *   present one; `LOG_UNAVAILABLE` while another node raises it, or if the stream was silent within the last minute; those of a write.
 */
export async function raiseProtocol(node: Raising, wanted?: number): Promise<number> {
  const { machine } = node;
  await node.barrier();
  const protocol = wanted ?? highestOf(machine);
  if (protocol === machine.protocol) return protocol;
  if (protocol < machine.protocol) throw lower(protocol, machine.protocol);
  const { held } = (await answerTo(node, { type: 'lease', name: PROTOCOL_LEASE, forMs: RAISE_MS })) as LeaseResult;
  if (!held) throw later('Another node raises the protocol at present.');
  try {
    if (machine.time - machine.steadySince < LIVE_MS) {
      throw later(
        'The stream was silent, or this node joined, within the last minute: it may not know of all members.',
      );
    }
    const { done } = (await answerTo(node, { type: 'protocol', protocol })) as { readonly done: boolean };
    if (done) return protocol;
    // Another raise of this node, which has the same lease, came first.
    if (machine.protocol >= protocol) return machine.protocol;
    throw notUnderstood(machine, protocol);
  } finally {
    node.submit({ type: 'lease', name: PROTOCOL_LEASE, forMs: 0 }, () => {}, true);
  }
}

function answerTo(node: Raising, command: Command): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    node.submit(command, (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)), true);
  });
}

function highestOf({ sessions, time, protocol }: Machine): number {
  const all = Array.from(sessions.live(time, LIVE_MS), ([, { maxProtocol }]) => maxProtocol);
  return Math.max(protocol, Math.min(...all));
}

function lower(protocol: number, present: number): ContextCacheError {
  const message = `The cluster has protocol ${present}, which cannot be lowered to ${protocol}. Give a higher one.`;
  return new ContextCacheError('INVALID_OPTION', message);
}

function later(reason: string): ContextCacheError {
  return new ContextCacheError('LOG_UNAVAILABLE', `${reason} The protocol stays as it is. Try again in a minute.`);
}

function notUnderstood({ sessions, time }: Machine, protocol: number): ContextCacheError {
  const members = Array.from(sessions.live(time, LIVE_MS), ([, session]) => session);
  const unable = members.filter(({ minProtocol: min, maxProtocol: max }) => protocol < min || protocol > max);
  if (unable.length === 0) return later('The command took too long on its way.');
  const named = unable.map(
    ({ node, version, minProtocol, maxProtocol }) => `${node} (version ${version}: ${minProtocol} to ${maxProtocol})`,
  );
  const message = `These members do not understand protocol ${protocol}: ${named.join(', ')}. The protocol stays as it is.`;
  const remedy = 'Upgrade them, and repeat this. A node that was killed counts for another minute.';
  return new ContextCacheError('FORMAT_UNSUPPORTED', `${message} ${remedy}`);
}
