import type { StreamInfo as ServerStreamInfo, StreamConfig } from '@nats-io/jetstream';
import { ContextCacheError } from '../../core/errors.ts';
import type { StreamNames } from './stream-names.ts';

/** Options for creating the stream of a cluster. */
export interface NewStream {
  /** Number of servers that store each message: 1, 3 or 5. */
  readonly replicas: number;
  /** Greatest size of the stream in bytes. Writes are refused once it is reached, and possible again after a purge. */
  readonly maxBytes: number;
  /** Names this incarnation of the stream. */
  readonly epoch: string;
}

/** The fields of the stream's metadata. */
export interface StreamIdentity {
  readonly format: number;
  readonly epoch: string;
}

/** Format of the messages in a new stream: that of `MESSAGE_FORMAT`. */
export const STREAM_FORMAT = 5;

const FORMAT = 'acc-format';
const EPOCH = 'acc-epoch';

/** The part of the configuration that must be as it is for the messages to stay complete and ordered. */
function required(names: StreamNames) {
  return {
    subjects: [names.commands],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_msgs: -1,
    max_msgs_per_subject: -1,
    max_age: 0,
    deny_delete: true,
    allow_direct: true,
    republish: {
      src: `acc.${names.cluster}.c.*`,
      dest: `acc.${names.cluster}.r.{{wildcard(1)}}`,
    },
  } as const;
}

/** Returns the configuration with which a stream is created. */
export function configOf(names: StreamNames, { replicas, maxBytes, epoch }: NewStream): Partial<StreamConfig> {
  const { subjects, republish, ...rest } = required(names);
  return {
    name: names.stream,
    ...rest,
    subjects: [...subjects],
    republish: { ...republish },
    num_replicas: replicas,
    max_bytes: maxBytes,
    metadata: { [FORMAT]: String(STREAM_FORMAT), [EPOCH]: epoch },
  } as Partial<StreamConfig>;
}

/**
 * Checks that an existing stream keeps every message, in order, and repeats it. Returns what its metadata says.
 *
 * @throws {ContextCacheError} `BACKEND_FAILED` with the setting that differs.
 */
export function identityOf(names: StreamNames, config: ServerStreamInfo['config']): StreamIdentity {
  const given = config as unknown as Readonly<Record<string, unknown>>;
  for (const [setting, expected] of Object.entries(required(names))) {
    const actual = given[setting] ?? ABSENT[setting];
    if (isSame(actual, expected)) continue;
    const message = `The stream ${names.stream} has ${setting} ${JSON.stringify(actual)}, and a cluster needs ${JSON.stringify(expected)}. Change the stream, or create the cluster under another name.`;
    throw new ContextCacheError('BACKEND_FAILED', message);
  }
  for (const setting of ['mirror', 'sources', 'subject_transform', 'sealed', 'no_ack']) {
    const actual = given[setting];
    if (actual === undefined || actual === false || (Array.isArray(actual) && actual.length === 0)) continue;
    const message = `The stream ${names.stream} has the setting ${setting}, which a cluster cannot work with. Remove it.`;
    throw new ContextCacheError('BACKEND_FAILED', message);
  }
  const { metadata = {} } = config;
  const format = Number(metadata[FORMAT]);
  const epoch = metadata[EPOCH];
  if (!Number.isSafeInteger(format) || format < 1 || epoch === undefined || epoch === '') {
    const message = `The stream ${names.stream} was not created for a cluster: its metadata lack ${FORMAT} or ${EPOCH}. Create the cluster under another name.`;
    throw new ContextCacheError('BACKEND_FAILED', message);
  }
  return { format, epoch };
}

/** Values of settings that the server leaves out. */
const ABSENT: Readonly<Record<string, unknown>> = { max_age: 0, max_msgs: -1, max_msgs_per_subject: -1 };

function isSame(actual: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return actual === expected;
  if (typeof actual !== 'object' || actual === null) return false;
  if (Array.isArray(expected)) return JSON.stringify(actual) === JSON.stringify(expected);
  const fields = actual as Readonly<Record<string, unknown>>;
  return Object.entries(expected).every(([field, value]) => fields[field] === value) && fields.headers_only !== true;
}
