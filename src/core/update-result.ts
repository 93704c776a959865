import { type Basis, MAX_READINGS, type ReadEntry } from './basis.ts';
import type { Acknowledgement, WriteOptions } from './command.ts';
import { conditionOf, holds } from './conditions.ts';
import { VersionConflictError } from './conflict.ts';
import { publicEntry } from './decide.ts';
import { DEFAULT_NAMESPACE } from './names.ts';
import type { Entry } from './namespace-state.ts';
import { openedEntry } from './opened.ts';
import type { Request } from './request.ts';
import type { SubjectDoor } from './sealed.ts';
import type { JsonValue } from './value.ts';

/** The answer to an `update`: the acknowledgement, with the resulting entry. */
export interface UpdateResult<Value = JsonValue> extends Acknowledgement {
  /** The value that was stored or left unchanged; `undefined` if the key is missing. */
  readonly value: Value | undefined;
  /** The entry with that value; `undefined` if the key is missing. */
  readonly entry: Entry<Value> | undefined;
}

/** Adds the entry that a write has stored to its acknowledgement. `before` is the entry that it replaced or left. */
export function resultOf(
  acknowledgement: Acknowledgement,
  request: Request,
  before: Entry | undefined,
  subjects: SubjectDoor,
): UpdateResult {
  if (!acknowledgement.changed) return { ...acknowledgement, value: before?.value, entry: before };
  const { namespace, key, at } = request;
  const { version } = acknowledgement;
  const createdAt = before?.createdAt ?? at;
  const stored = publicEntry(namespace, key, { ...request, version, createdAt, updatedAt: at });
  const entry = openedEntry(subjects, stored);
  return { ...acknowledgement, value: entry.value, entry };
}

/** Adds the entry that an `update` reads to its basis, unless that is full or no array, which the checks refuse. */
function withRead(basis: Basis, namespace: string, key: string, entry: Entry | undefined): Basis {
  if (!Array.isArray(basis) || basis.length >= MAX_READINGS) return basis;
  const version = entry?.version ?? 0;
  const isKnown = (each: Partial<ReadEntry>) =>
    each.key === key && each.version === version && (each.namespace ?? DEFAULT_NAMESPACE) === namespace;
  return basis.some(isKnown) ? basis : [...basis, { namespace, key, version }];
}

/**
 * Returns the options of the write with which an `update` of `entry` ends: it writes only if nothing has changed meanwhile.
 *
 * @throws {VersionConflictError} if `ifAbsent` or `ifPresent` does not hold.
 */
export function optionsOfUpdate(
  options: WriteOptions | undefined,
  entry: Entry | undefined,
  namespace: string,
  key: string,
): WriteOptions {
  const { ifAbsent, ifPresent, ...given } = options ?? {};
  const rest = given.basis === undefined ? given : { ...given, basis: withRead(given.basis, namespace, key, entry) };
  const version = entry?.version ?? 0;
  const condition = conditionOf({ ...rest, ifAbsent, ifPresent });
  const isAsked = ifAbsent === true || ifPresent === true;
  if (isAsked && !holds(condition, version)) throw new VersionConflictError(namespace, key, condition, entry);
  return { ...rest, ifVersion: rest.ifVersion ?? version };
}
