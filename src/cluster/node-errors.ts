import { ContextCacheError } from '../core/errors.ts';

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
