import { optionNames } from '../../core/options.ts';
import type { Update } from '../../core/update.ts';

/** What the message on a topic says: the documented fields first, then additions beside them. */
export interface ContextUpdateMessage {
  readonly event_type: 'context_update';
  /** Who sends: the environment's SUBJECT_ID, or `null`. */
  readonly sender_subject_id: string | null;
  readonly event_data: {
    readonly operation: 'set' | 'delete' | 'clear_namespace';
    readonly namespace: string;
    /** `null` for `clear_namespace`. */
    readonly key: string | null;
    /** `null` for `delete`, for `clear_namespace`, and where `value_omitted` says so. */
    readonly value: unknown;
  };
  /** The same for every copy of this message; a receiver that has seen it may drop it. */
  readonly event_id: string;
  /** Place of the update in the sender's log; ascending on a topic, apart from messages that come again. */
  readonly position: number;
  /** Version of the namespace after the update. */
  readonly version: number;
  /** When it was asked for, epoch milliseconds. */
  readonly at: number;
  /** Who asked; absent where nobody was named. */
  readonly agent?: string;
  /** When the entry expires, epoch milliseconds; absent: never. */
  readonly expires_at?: number;
  /** The namespace was also taken off the list. */
  readonly drop?: true;
  /** Why an entry went without anybody asking. */
  readonly cause?: 'expire' | 'evict';
  /** The value was too large for the topic: read it from the cache. */
  readonly value_omitted?: true;
  /** Bytes of the omitted value as JSON text. */
  readonly value_bytes?: number;
}

/** A message ready to be published. */
export interface EncodedMessage {
  /** `<log>-<position>`: the `event_id`. */
  readonly id: string;
  /** The message as JSON text. */
  readonly payload: string;
  /** Whether the value is left out. */
  readonly valueOmitted: boolean;
}

/** Settings of {@link ContextUpdateProcessor}. */
export interface ContextUpdateProcessorOptions {
  /** Who sends. Default: the environment variable SUBJECT_ID as it is now; `null` where that is unset or empty. */
  readonly subjectId?: string | null | undefined;
  /** Id of the log the updates come from: makes `event_id` unique among caches. */
  readonly log: string;
}

const OPTIONS = optionNames<ContextUpdateProcessorOptions>('ContextUpdateProcessor', { subjectId: true, log: true });

/** The public word for an operation; `undefined` where there is none and so no message. */
const WORD: Readonly<Record<Update['operation'], ContextUpdateMessage['event_data']['operation'] | undefined>> = {
  set: 'set',
  delete: 'delete',
  clear_namespace: 'clear_namespace',
  expire: 'delete',
  evict: 'delete',
  touch: undefined,
};

/**
 * Makes the public message of an update. The text is the JSON of a {@link ContextUpdateMessage}, its fields in the
 * documented order, without spaces; an `expire` or `evict` is announced as `delete` with its cause, a `touch` not at
 * all.
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
  /** The constant texts before the operation and before the position within `event_id`. */
  readonly #opening: string;
  readonly #eventId: string;
  /** Updates come in runs of one namespace: its JSON is made once a run. */
  #namespace = '';
  #namespaceJson = '""';

  constructor(options: ContextUpdateProcessorOptions) {
    OPTIONS.check(options);
    const subjectId = options.subjectId === undefined ? process.env.SUBJECT_ID || null : options.subjectId;
    this.#log = options.log;
    this.#opening = `{"event_type":"context_update","sender_subject_id":${JSON.stringify(subjectId)},"event_data":{"operation":"`;
    this.#eventId = `},"event_id":${JSON.stringify(`${options.log}-`).slice(0, -1)}`;
  }

  /** The message; `undefined` where the update has no word in public. */
  process(update: Update): EncodedMessage | undefined {
    const word = WORD[update.operation];
    if (word === undefined) return undefined;
    if (update.operation !== 'set') return this.#encode(update, word, 'null', undefined);
    const json = jsonOf(update.value);
    return json === undefined ? this.withoutValue(update) : this.#encode(update, word, json, undefined);
  }

  /** The message without its value, for a topic that cannot carry it; `undefined` where {@link process} gives that. */
  withoutValue(update: Update): EncodedMessage | undefined {
    const word = WORD[update.operation];
    if (word === undefined) return undefined;
    if (update.operation !== 'set') return this.#encode(update, word, 'null', undefined);
    const json = jsonOf(update.value);
    return this.#encode(update, word, 'null', json === undefined ? update.bytes : Buffer.byteLength(json));
  }

  #encode(update: Update, word: string, value: string, omittedBytes: number | undefined): EncodedMessage {
    const payload =
      `${this.#opening}${word}","namespace":${this.#json(update.namespace)}` +
      `,"key":${JSON.stringify(update.key)},"value":${value}` +
      `${this.#eventId}${update.position}","position":${update.position},"version":${update.version}` +
      `,"at":${update.at}${extras(update, omittedBytes)}}`;
    return { id: `${this.#log}-${update.position}`, payload, valueOmitted: omittedBytes !== undefined };
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
  if (update.drop) text += ',"drop":true';
  if (update.operation === 'expire' || update.operation === 'evict') text += `,"cause":"${update.operation}"`;
  if (omittedBytes !== undefined) text += `,"value_omitted":true,"value_bytes":${omittedBytes}`;
  return text;
}

/**
 * The value as JSON text; `undefined` for what has none. Admitted values always have one; a value kept by reference
 * may be anything by now, and must not stop the updates after it.
 */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
