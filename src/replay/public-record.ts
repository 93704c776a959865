import { ContextCacheError } from '../core/errors.ts';
import { notedMeta } from '../core/retraction.ts';
import { checkPublicMessage } from '../followers/broadcast/parse-public-message.ts';
import type { ContextUpdateMessage } from '../followers/broadcast/public-message.ts';
import type { ReadUpdate } from './candidate.ts';
import { type Door, type RawRecord, readRecord } from './record.ts';

/** The origin of a message. */
export interface MessageOrigin {
  readonly line: number;
  /** Replaces the instant of a message that has none, epoch milliseconds. */
  readonly at: number;
}

/** Replaces the fields that a message of the bare documented form lacks. */
const BARE = { event_id: '-', position: 1, version: 1 };

/**
 * Reads the update of a public message. The bare documented form (only `event_type`, `sender_subject_id` and
 * `event_data`) has neither position nor version; both are then 0.
 *
 * @throws {ContextCacheError} `INVALID_VALUE` or `INVALID_NAME`.
 */
export function readMessage(candidate: RawRecord, door: Door, origin: MessageOrigin): ReadUpdate {
  const bare = ['event_id', 'position', 'version', 'at'].every((field) => candidate[field] === undefined);
  const message = checkPublicMessage(bare ? { ...candidate, ...BARE, at: origin.at } : candidate);
  const update = readRecord(recordOf(message), door);
  if (bare) {
    update.position = 0;
    update.version = 0;
  }
  const log = bare ? null : logOf(message);
  return {
    line: origin.line,
    update,
    log,
    valueMissing: message.value_omitted === true,
    clearKeys: message.clear_keys,
  };
}

function recordOf({
  event_data,
  position,
  version,
  at,
  agent,
  expires_at,
  drop,
  begins,
  cause,
  meta,
  operation_id,
  command_hash,
  basis,
  retraction,
  stale,
}: ContextUpdateMessage): RawRecord {
  const { operation, namespace, key, value } = event_data;
  return {
    position,
    version,
    namespace,
    operation: cause ?? operation,
    ...(cause === 'clear' ? { keys: [key] } : { key }),
    value,
    at,
    agent,
    expiresAt: expires_at,
    drop,
    begins,
    meta: notedMeta(meta, { retraction, stale }),
    operationId: operation_id,
    commandHash: command_hash,
    basis,
  };
}

/** Returns the log's id from `event_id`, which is the id, a hyphen and the position; for a clear also a hyphen and a hash. */
function logOf({ event_id, position, cause }: ContextUpdateMessage): string {
  const id = cause === 'clear' ? event_id.replace(/-[0-9a-f]+$/, '') : event_id;
  const end = `-${position}`;
  if (id.endsWith(end)) return id.slice(0, -end.length);
  const wanted = cause === 'clear' ? 'its position and a hash' : 'its position';
  throw new ContextCacheError('INVALID_VALUE', `Its event_id does not end with ${wanted}.`);
}
