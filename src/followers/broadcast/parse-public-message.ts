import { ContextCacheError } from '../../core/errors.ts';
import { checkName } from '../../core/names.ts';
import { admitRetraction, admitStale } from '../../core/retraction.ts';
import type { ContextUpdateMessage } from './public-message.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a public message from a topic. Checks every documented field, and keeps fields that this version does not know.
 *
 * @throws {ContextCacheError} `INVALID_VALUE`, naming the field that does not match its documentation.
 *
 * @example
 * ```ts
 * const { event_data, position } = parsePublicMessage(new TextDecoder().decode(msg.data));
 * if (event_data.operation === 'set') console.log(position, event_data.namespace, event_data.key, event_data.value);
 * ```
 */
export function parsePublicMessage(text: string): ContextUpdateMessage {
  return checkPublicMessage(parseJson(text));
}

/** Checks a message that is already parsed; otherwise the same as {@link parsePublicMessage}. */
export function checkPublicMessage(candidate: unknown): ContextUpdateMessage {
  const message = fieldsOf('The message', candidate);
  need(message.event_type === 'context_update', 'event_type', '"context_update"');
  need(
    message.sender_subject_id === null || isString(message.sender_subject_id),
    'sender_subject_id',
    'a string or null',
  );
  checkEventData(fieldsOf('event_data', message.event_data));
  checkAdditions(message);
  checkRare(message, fieldsOf('event_data', message.event_data));
  return message as unknown as ContextUpdateMessage;
}

function checkEventData(data: Fields): void {
  const { operation, namespace, key, value } = data;
  const known = operation === 'set' || operation === 'delete' || operation === 'clear_namespace';
  need(known, 'event_data.operation', '"set", "delete" or "clear_namespace"');
  need(isName('namespace', namespace), 'event_data.namespace', 'a valid namespace');
  if (operation === 'clear_namespace') need(key === null, 'event_data.key', 'null for "clear_namespace"');
  else need(isName('key', key), 'event_data.key', 'a valid key');
  need(value !== undefined, 'event_data.value', 'present');
  need(operation === 'set' || value === null, 'event_data.value', `null for "${String(operation)}"`);
}

function checkAdditions(message: Fields): void {
  need(isString(message.event_id) && message.event_id !== '', 'event_id', 'a non-empty string');
  need(isCount(message.position), 'position', 'an integer from 1');
  need(isCount(message.version), 'version', 'an integer from 1');
  need(typeof message.at === 'number', 'at', 'a number');
}

/** Checks the optional fields. */
function checkRare(message: Fields, data: Fields): void {
  const { agent, expires_at, drop, cause, value_omitted, value_bytes } = message;
  const { meta, operation_id, command_hash, basis, clear_keys, retraction, stale, begins } = message;
  need(agent === undefined || isString(agent), 'agent', 'a string or absent');
  need(expires_at === undefined || typeof expires_at === 'number', 'expires_at', 'a number or absent');
  need(meta === undefined || isObject(meta), 'meta', 'a JSON object or absent');
  need(operation_id === undefined || isString(operation_id), 'operation_id', 'a string or absent');
  need(command_hash === undefined || typeof command_hash === 'number', 'command_hash', 'a number or absent');
  need(basis === undefined || Array.isArray(basis), 'basis', 'an array or absent');
  need(
    retraction === undefined || isAdmitted(admitRetraction, retraction),
    'retraction',
    '{ position, reason } or absent',
  );
  need(stale === undefined || isAdmitted(admitStale, stale), 'stale', '{ because, reason } or absent');
  const dropFits = drop === undefined || (drop === true && data.operation === 'clear_namespace');
  need(dropFits, 'drop', 'true or absent, and only with "clear_namespace"');
  need(begins === undefined || begins === true, 'begins', 'true or absent');
  const isCause = cause === 'expire' || cause === 'evict' || cause === 'clear';
  const causeFits = cause === undefined || (isCause && data.operation === 'delete');
  need(causeFits, 'cause', '"expire", "evict", "clear" or absent, and only with "delete"');
  const keysFit = cause === 'clear' ? isCount(clear_keys) : clear_keys === undefined;
  need(keysFit, 'clear_keys', 'an integer from 1 where cause is "clear", and absent otherwise');
  const omittedFits =
    value_omitted === undefined || (value_omitted === true && data.operation === 'set' && data.value === null);
  need(omittedFits, 'value_omitted', 'true or absent, and only with "set" and a value of null');
  const bytesFit =
    value_omitted === true ? typeof value_bytes === 'number' && value_bytes >= 0 : value_bytes === undefined;
  need(bytesFit, 'value_bytes', 'a number where value_omitted is true, and absent otherwise');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The message of the parser quotes the text, which may hold a value.
    throw new ContextCacheError('INVALID_VALUE', 'The message is not JSON. Only context_update messages can be read.');
  }
}

function fieldsOf(what: string, value: unknown): Fields {
  if (isObject(value)) return value;
  throw new ContextCacheError(
    'INVALID_VALUE',
    `${what} is not a JSON object. Only context_update messages can be read.`,
  );
}

function need(holds: boolean, field: string, wanted: string): void {
  if (holds) return;
  throw new ContextCacheError('INVALID_VALUE', `The message is not a context_update: ${field} must be ${wanted}.`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

function isAdmitted(admit: (value: unknown) => unknown, value: unknown): boolean {
  try {
    admit(value);
    return true;
  } catch {
    return false;
  }
}

function isName(what: 'namespace' | 'key', value: unknown): boolean {
  return isAdmitted(() => checkName(what, value), value);
}
