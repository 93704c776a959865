import { ContextCacheError } from '../core/errors.ts';
import type { Protocols } from './machine/machine.ts';

/** Creates the error for a call after the node was closed. */
export function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The node has left the cluster.');
}

export function failed(cause: Error): ContextCacheError {
  const message =
    'The node could not apply a command that the others apply, and has left service. See the cause, and start it again.';
  return new ContextCacheError('LOG_CORRUPT', message, { cause });
}

export function astray(): ContextCacheError {
  const message = 'The other nodes of the cluster have come to another state than this one, which has left service.';
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${message} Start it again without its data, and check its memory and disk.`,
  );
}

/** Returns the error for a protocol that a version does not understand; `undefined` if it does. */
export function protocolError(protocol: number, { min, max }: Protocols): ContextCacheError | undefined {
  if (protocol >= min && protocol <= max) return undefined;
  const message = `The cluster has protocol ${protocol}, and this version of the package understands ${min} to ${max}. The node is out of service.`;
  const remedy =
    protocol > max
      ? 'Install the version that the other nodes have, and start the node again. Its data directory stays as it is.'
      : 'Start the version before on all nodes, raise the protocol (context-cache cluster raise), then install this one.';
  return new ContextCacheError('FORMAT_UNSUPPORTED', `${message} ${remedy}`);
}

export function purged(sequence: number, first: number): ContextCacheError {
  const message = `The stream starts at message ${first}, and this node is at message ${sequence}: those between them were purged.`;
  return new ContextCacheError('POSITION_UNAVAILABLE', `${message} Start it from a newer snapshot.`);
}

/** Creates the error for a stream that stops delivering before a joining node has everything. */
export function unread(sequence: number, last: number): ContextCacheError {
  const message = `The node has read message ${sequence} of ${last}, and the stream delivers no more. The node has not joined.`;
  return new ContextCacheError('LOG_UNAVAILABLE', `${message} See whether its servers are up, then open it again.`);
}

export function rewound(last: number, sequence: number): ContextCacheError {
  const message = `The stream was at message ${last} when this node had read message ${sequence}: it was restored from an older copy, or has lost its end.`;
  return new ContextCacheError(
    'LOG_CORRUPT',
    `${message} Stop the nodes and refound the stream from the most advanced one; see "Refounding" in docs/cluster.md.`,
  );
}
