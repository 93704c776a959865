import { ContextCacheError } from '../core/errors.ts';
import type { Protocols } from './machine/machine.ts';

/** Creates the error for a call after the node was closed. */
export function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The node has left the cluster.');
}

export function failed(cause: Error): ContextCacheError {
  const message = 'The node could not apply a command that the others apply, and has left service.';
  return new ContextCacheError('LOG_CORRUPT', `${message}${because(cause.message)} Mend that, and start it again.`, {
    cause,
  });
}

export function astray(): ContextCacheError {
  const message = 'The other nodes of the cluster have come to another state than this one, which has left service.';
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${message} Start it again without its data, and check its memory and disk.`,
  );
}

/** Consequence of a protocol that a version does not understand, by what the node was doing. */
const LEFT_UNDONE = {
  joining: 'The node was not started.',
  serving: 'The node has left service.',
  refounding: 'The stream was not refounded.',
} as const;

/** Returns the error for a protocol that a version does not understand; `undefined` if it does. A serving node has read that it was raised. */
export function protocolError(
  protocol: number,
  { min, max }: Protocols,
  doing: keyof typeof LEFT_UNDONE,
): ContextCacheError | undefined {
  if (protocol >= min && protocol <= max) return undefined;
  const fact = doing === 'serving' ? 'was raised to' : 'has';
  const limit = protocol < min ? `below ${min}` : `above ${max}`;
  const message = `The cluster ${fact} protocol ${protocol}, and this version of the package understands none ${limit}. ${LEFT_UNDONE[doing]}`;
  return new ContextCacheError('FORMAT_UNSUPPORTED', `${message} ${protocolRemedy(protocol, min, doing)}`);
}

function protocolRemedy(protocol: number, min: number, doing: keyof typeof LEFT_UNDONE): string {
  if (doing === 'refounding') return 'Refound it with the version that its nodes have.';
  return protocol < min
    ? `Start the last version that understands protocol ${protocol} on all nodes, raise it to ${min} (context-cache cluster raise), then install this one.`
    : 'Install the version that the other nodes have, and start the node again. Its data directory stays as it is.';
}

export function purged(sequence: number, first: number): ContextCacheError {
  const message = `The stream starts at message ${first}, and this node is at message ${sequence}: those between them were purged.`;
  return new ContextCacheError('POSITION_UNAVAILABLE', `${message} Start it from a newer snapshot.`);
}

/** Creates the error for a joining node that has stopped before it had everything. Without a reason the stream delivers no more. */
export function unread(sequence: number, last: number, reason: string | undefined): ContextCacheError {
  const message = `The node has applied message ${sequence} of ${last} and has not joined.`;
  const remedy =
    reason === undefined
      ? ' The stream delivers no more. See whether its servers are up, then open the node again.'
      : `${because(reason)} Mend that, then open the node again.`;
  return new ContextCacheError('LOG_UNAVAILABLE', message + remedy);
}

/** Returns a sentence with the reason of a failure, if it is known. */
export function because(reason: string | undefined): string {
  if (reason === undefined) return '';
  return ` The reason: ${reason}${/[.!?]$/.test(reason) ? '' : '.'}`;
}

export function rewound(last: number, sequence: number): ContextCacheError {
  const message = `The stream was at message ${last} when this node had read message ${sequence}: it was restored from an older copy, or has lost its end.`;
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${message} Stop the nodes and refound the stream from the most advanced one; see "Refounding" in docs/cluster.md.`,
  );
}
