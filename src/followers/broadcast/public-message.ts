import { hash } from 'node:crypto';
import type { Basis } from '../../core/basis.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Meta } from '../../core/meta.ts';
import { optionNames } from '../../core/options.ts';
import { type Retraction, type Stale, shownMeta } from '../../core/retraction.ts';
import type { Update } from '../../core/update.ts';

/** The message on a topic: first the fields of the specification, then additions. */
export interface ContextUpdateMessage {
  readonly event_type: 'context_update';
  /** The sender: the environment variable `SUBJECT_ID` or the option `subjectId`; `null` if neither is set. */
  readonly sender_subject_id: string | null;
  readonly event_data: {
    readonly operation: 'set' | 'delete' | 'clear_namespace';
    readonly namespace: string;
    /** `null` for `clear_namespace`. */
    readonly key: string | null;
    /** `null` for `delete`, for `clear_namespace`, and if `value_omitted` is true. */
    readonly value: unknown;
  };
  /** The same for every copy of this message, so that a receiver can drop a repeated one. */
  readonly event_id: string;
  /** Position of the update in the log of the sender. Ascending on a topic, except for repeated messages. */
  readonly position: number;
  /** Version of the namespace after the update. */
  readonly version: number;
  /** Instant of the command, epoch milliseconds. */
  readonly at: number;
  /** The agent that asked for the update; absent if none was named. */
  readonly agent?: string;
  /** Instant at which the entry expires, epoch milliseconds; absent: never. */
  readonly expires_at?: number;
  /** JSON object that the writer attached; absent: none. */
  readonly meta?: Meta;
  /** Id of the operation that the update belongs to; absent if none was given. */
  readonly operation_id?: string;
  /** Hash of what the writer asked for, so that a cache replayed from messages detects another write with this id. */
  readonly command_hash?: number;
  /** What the writer had read; absent if it did not say so. */
  readonly basis?: Basis;
  /** The update takes an earlier one back: its position, and why. Absent for any other update. */
  readonly retraction?: Retraction;
  /** The entry is based on a write that was taken back: its position, and why. Absent for any other update. */
  readonly stale?: Stale;
  /** The namespace was also removed from the list. */
  readonly drop?: true;
  /** The namespace did not exist before, and its versions begin above 1. */
  readonly begins?: true;
  /** The reason of a `delete` that no caller asked for, or `clear`: a caller cleared all keys with a prefix. */
  readonly cause?: 'expire' | 'evict' | 'clear';
  /**
   * Number of keys that the `clear` removed. Each has a `delete` of its own with this position and version. Absent for any
   * other update.
   */
  readonly clear_keys?: number;
  /** The value was too large for the topic: read it from the cache. */
  readonly value_omitted?: true;
  /** Bytes of the omitted value as JSON text. */
  readonly value_bytes?: number;
}

/** A message ready to be published. */
export interface EncodedMessage {
  /** `<log>-<position>`, for a key of a `clear` followed by `-` and a hash of the key: the `event_id`. */
  readonly id: string;
  /** The message as JSON text. */
  readonly payload: string;
  /** `true` if the value is left out. */
  readonly valueOmitted: boolean;
}

/** Options of {@link ContextUpdateProcessor}. */
export interface ContextUpdateProcessorOptions {
  /** The sender. Default: the environment variable `SUBJECT_ID` at this moment; `null` if it is unset or empty. */
  readonly subjectId?: string | null | undefined;
  /** Id of the log of the updates, which makes `event_id` unique among caches. */
  readonly log: string;
}

/** Hexadecimal digits of the hash of a key: two of 4,096 keys have the same one in 1 of 30 million clears. */
const HASH_DIGITS = 12;

const OPTIONS = optionNames<ContextUpdateProcessorOptions>('ContextUpdateProcessor', { subjectId: true, log: true });

/** The public name of an operation; `undefined` if the operation is not announced. */
const WORD: Readonly<Record<Update['operation'], ContextUpdateMessage['event_data']['operation'] | undefined>> = {
  set: 'set',
  delete: 'delete',
  clear_namespace: 'clear_namespace',
  expire: 'delete',
  evict: 'delete',
  touch: undefined,
  clear: 'delete',
};

/**
 * Makes the public message of an update: the JSON text of a {@link ContextUpdateMessage} with its fields in the documented
 * order, without spaces. An `expire` or `evict` is announced as `delete` with its cause; a `touch` is not announced. A
 * `clear` has a message for each of its keys.
 *
 * @example
 * ```ts
 * const processor = new ContextUpdateProcessor({ subjectId: 'planner', log: log.id });
 * processor.process(update)?.payload.toString();
 * // {"event_type":"context_update","sender_subject_id":"planner","event_data":{"operation":"set",…
 * ```
 */
export class ContextUpdateProcessor {
  readonly #log: string;
  /** Constant texts before the operation and before the position in `event_id`. */
  readonly #opening: string;
  readonly #eventId: string;
  /** JSON of the last namespace. Updates come in runs of one namespace, so it is made once for each run. */
  #namespace = '';
  #namespaceJson = '""';

  constructor(options: ContextUpdateProcessorOptions) {
    OPTIONS.check(options);
    const subjectId = options.subjectId === undefined ? process.env.SUBJECT_ID || null : options.subjectId;
    this.#log = options.log;
    this.#opening = `{"event_type":"context_update","sender_subject_id":${JSON.stringify(subjectId)},"event_data":{"operation":"`;
    this.#eventId = `},"event_id":${JSON.stringify(`${options.log}-`).slice(0, -1)}`;
  }

  /**
   * Returns the message; `undefined` if the update is not announced. `key`: that of a `clear` which the message is about.
   *
   * @throws {ContextCacheError} `INVALID_VALUE` if a `clear` comes without a key.
   */
  process(update: Update, key = update.key): EncodedMessage | undefined {
    const word = WORD[update.operation];
    if (word === undefined) return undefined;
    if (update.operation !== 'set') return this.#encode(update, key, word, 'null', undefined);
    const json = jsonOf(update.value);
    return json === undefined ? this.withoutValue(update) : this.#encode(update, key, word, json, undefined);
  }

  /** Returns the message without its value, for a topic that cannot carry it; otherwise the same as {@link process}. */
  withoutValue(update: Update, key = update.key): EncodedMessage | undefined {
    const word = WORD[update.operation];
    if (word === undefined) return undefined;
    if (update.operation !== 'set') return this.#encode(update, key, word, 'null', undefined);
    const json = jsonOf(update.value);
    return this.#encode(update, key, word, 'null', json === undefined ? update.bytes : Buffer.byteLength(json));
  }

  #encode(
    update: Update,
    key: string | null,
    word: string,
    value: string,
    omittedBytes: number | undefined,
  ): EncodedMessage {
    const { position } = update;
    const id = update.operation === 'clear' ? `${position}-${hashOf(key)}` : String(position);
    const payload =
      `${this.#opening}${word}","namespace":${this.#json(update.namespace)}` +
      `,"key":${JSON.stringify(key)},"value":${value}` +
      `${this.#eventId}${id}","position":${position},"version":${update.version}` +
      `,"at":${update.at}${extras(update, omittedBytes)}}`;
    return { id: `${this.#log}-${id}`, payload, valueOmitted: omittedBytes !== undefined };
  }

  #json(namespace: string): string {
    if (namespace !== this.#namespace) {
      this.#namespaceJson = JSON.stringify(namespace);
      this.#namespace = namespace;
    }
    return this.#namespaceJson;
  }
}

function extras(update: Update, omittedBytes: number | undefined): string {
  let text = '';
  if (update.agent !== null) text += `,"agent":${JSON.stringify(update.agent)}`;
  if (update.expiresAt !== null) text += `,"expires_at":${update.expiresAt}`;
  const { meta, retraction, stale } = shownMeta(update.meta);
  if (meta !== undefined) text += `,"meta":${JSON.stringify(meta)}`;
  if (update.operationId !== undefined) text += `,"operation_id":${JSON.stringify(update.operationId)}`;
  if (update.commandHash !== undefined) text += `,"command_hash":${update.commandHash}`;
  if (update.basis !== undefined) text += `,"basis":${JSON.stringify(update.basis)}`;
  if (retraction !== undefined) text += `,"retraction":${JSON.stringify(retraction)}`;
  if (stale !== undefined) text += `,"stale":${JSON.stringify(stale)}`;
  if (update.drop) text += ',"drop":true';
  if (update.begins === true) text += ',"begins":true';
  if (update.operation === 'expire' || update.operation === 'evict') text += `,"cause":"${update.operation}"`;
  if (update.operation === 'clear') text += `,"cause":"clear","clear_keys":${update.keys?.length}`;
  if (omittedBytes !== undefined) text += `,"value_omitted":true,"value_bytes":${omittedBytes}`;
  return text;
}

/** Returns a hash of a key, so that the messages of one clear have different ids, whichever of its keys are left. */
function hashOf(key: string | null): string {
  if (key !== null) return hash('sha256', key).slice(0, HASH_DIGITS);
  const problem = 'A clear has a message for each of its keys. Pass the key as well.';
  throw new ContextCacheError('INVALID_VALUE', problem);
}

/**
 * Returns the value as JSON text; `undefined` if it has none. Values of the cache have one; a value that a primary keeps by
 * reference may have been changed to anything, and must not block the updates after it.
 */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
