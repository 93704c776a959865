import { ContextCacheError } from '../core/errors.ts';
import type { ValueLimits } from '../core/value.ts';
import { checkPublicMessage } from '../followers/broadcast/parse-public-message.ts';
import type { ContextUpdateMessage } from '../followers/broadcast/public-message.ts';
import type { ReadUpdate } from './candidate.ts';
import { type RawRecord, readRecord } from './record.ts';

/** Where a message was found. */
export interface MessageOrigin {
  readonly line: number;
  /** Stands in for the instant of a message that has none, epoch milliseconds. */
  readonly at: number;
}

/** What stands in for the additions of a message of the bare documented form. */
const BARE = { event_id: '-', position: 1, version: 1 };

/**
 * The update that a public message tells of. One of the bare documented form (`event_type`, `sender_subject_id`,
 * `event_data` and nothing else) has neither position nor version: both are 0 then.
 *
 * @throws {ContextCacheError} `INVALID_VALUE` or `INVALID_NAME`.
 */
export function readMessage(candidate: RawRecord, limits: ValueLimits, place: MessageOrigin): ReadUpdate {
  const bare = ['event_id', 'position', 'version', 'at'].every((field) => candidate[field] === undefined);
  const message = checkPublicMessage(bare ? { ...candidate, ...BARE, at: place.at } : candidate);
  const update = readRecord(recordOf(message), limits);
  if (bare) {
    update.position = 0;
    update.version = 0;
  }
  const log = bare ? null : logOf(message);
  return { line: place.line, update, log, valueMissing: message.value_omitted === true };
}

function recordOf({
  event_data,
  position,
  version,
  at,
  agent,
  expires_at,
  drop,
  cause,
}: ContextUpdateMessage): RawRecord {
  const { operation, namespace, key, value } = event_data;
  return {
    position,
    version,
    namespace,
    operation: cause ?? operation,
    key,
    value,
    at,
    agent,
    expiresAt: expires_at,
    drop,
  };
}

/** `event_id` is the log's id, a hyphen and the position. */
function logOf({ event_id, position }: ContextUpdateMessage): string {
  const end = `-${position}`;
  if (event_id.endsWith(end)) return event_id.slice(0, -end.length);
  throw new ContextCacheError('INVALID_VALUE', 'Its event_id does not end with its position.');
}
