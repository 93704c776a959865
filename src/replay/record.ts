import { admitBasis } from '../core/basis.ts';
import { bytesOfKeys } from '../core/cleared-keys.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import { isOperationId } from '../core/origin.ts';
import { admitStoredMeta } from '../core/retraction.ts';
import { createUpdate, OPERATIONS, type Operation, type PendingUpdate } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';

/** A record of an exported log, as parsed from JSON. */
export type RawRecord = Readonly<Record<string, unknown>>;

/** Checks, freezes and measures values. */
export interface Door {
  admit(value: unknown): JsonValue;
  /** Estimated bytes of the last admitted value. */
  readonly bytes: number;
}

/** Format version of the lines of `context-cache log`. A record without a `format` field has it. */
export const RECORD_FORMAT = 1;

/** The greatest instant that JavaScript accepts as a date. */
const LAST_INSTANT = 8.64e15;
const LONGEST_AGENT = 1024;
const ONE_OF = `one of ${OPERATIONS.join(', ')}`;

/**
 * Refuses records of any other format.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED`.
 */
export function checkFormat(format: unknown): void {
  if (format === RECORD_FORMAT) return;
  const shown = typeof format === 'number' ? format : typeof format;
  const message = `It has format ${shown}; this version reads format ${RECORD_FORMAT}. Update the package, or export the log again.`;
  throw new ContextCacheError('FORMAT_UNSUPPORTED', message);
}

/**
 * Reads the update of a record of an exported log. Ignores fields that it does not know. `replaced` is not part of a
 * record; the fold sets it.
 *
 * @throws {ContextCacheError} `INVALID_VALUE` or `INVALID_NAME`, naming the field.
 */
export function readRecord(record: RawRecord, door: Door): PendingUpdate {
  const { position, namespace, version, operation, key = null, at, agent = null, expiresAt = null, drop } = record;
  const { meta = null, operationId = null, commandHash = null, basis = null, begins } = record;
  need(isCount(position), 'position', 'an integer from 1');
  need(isCount(version), 'version', 'an integer from 1');
  need(OPERATIONS.includes(operation as Operation), 'operation', ONE_OF);
  checkName('namespace', namespace);
  const isClear = operation === 'clear';
  if (isClear || operation === 'clear_namespace') need(key === null, 'key', `null for "${operation}"`);
  else checkName('key', key);
  const keys = isClear ? keysOf(record.keys) : undefined;
  need(isClear || record.keys === undefined, 'keys', 'absent except for "clear"');
  need(isInstant(at), 'at', 'epoch milliseconds');
  need(agent === null || isAgent(agent), 'agent', 'null or a well-formed string of 1 to 1,024 characters');
  const expires = operation === 'set' || operation === 'touch';
  need(
    expiresAt === null || (expires && isInstant(expiresAt)),
    'expiresAt',
    'an instant, and only for "set" or "touch"',
  );
  need(meta === null || isMeta(meta), 'meta', 'absent or a JSON object of at most 1,024 bytes as text');
  need(
    operationId === null || isOperationId(operationId),
    'operationId',
    'absent or a well-formed string of 1 to 128 characters',
  );
  need(commandHash === null || isHash(commandHash), 'commandHash', 'absent or an integer of 48 bits');
  const dropped = drop === true;
  need(!dropped || operation === 'clear_namespace', 'drop', 'absent except for "clear_namespace"');
  need(record.snapshot !== true, 'snapshot', 'absent: an entry printed by watch is not an update');
  const value = operation === 'set' ? door.admit(record.value) : null;
  need(operation === 'set' || (record.value ?? null) === null, 'value', 'null except for "set"');
  const update = createUpdate({
    namespace,
    version: version as number,
    operation: operation as Operation,
    key: key as string | null,
    value,
    at: at as number,
    agent: agent as string | null,
    expiresAt: expiresAt as number | null,
    drop: dropped,
    bytes: operation === 'set' ? door.bytes : bytesOfKeys(keys ?? []),
    begins: begins === true ? true : undefined,
    keys,
    meta: meta === null ? undefined : admitStoredMeta(meta),
    operationId: (operationId ?? undefined) as string | undefined,
    commandHash: (commandHash ?? undefined) as number | undefined,
    basis: basis === null ? undefined : admitBasis(basis),
  });
  update.position = position as number;
  return update;
}

function need(holds: boolean, field: string, wanted: string): void {
  if (holds) return;
  throw new ContextCacheError('INVALID_VALUE', `Its ${field} must be ${wanted}.`);
}

function keysOf(keys: unknown): readonly string[] {
  need(Array.isArray(keys) && keys.length > 0, 'keys', 'an array of keys for "clear"');
  const all = keys as readonly string[];
  for (const key of all) checkName('key', key);
  return Object.freeze([...all]);
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

function isHash(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 48;
}

function isInstant(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= LAST_INSTANT;
}

function isMeta(value: unknown): boolean {
  try {
    admitStoredMeta(value);
    return true;
  } catch {
    return false;
  }
}

function isAgent(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= LONGEST_AGENT && value.isWellFormed();
}
