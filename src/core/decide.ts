import { appendedKey } from './append-key.ts';
import { type Basis, MAX_READINGS } from './basis.ts';
import { bytesOfKeys, clearableParts } from './cleared-keys.ts';
import { SAME_EXPIRY, type Step } from './command.ts';
import { holds, UNCONDITIONAL } from './conditions.ts';
import { VersionConflictError } from './conflict.ts';
import { isEqual } from './equal.ts';
import { ContextCacheError } from './errors.ts';
import { invalidCommand } from './invalid-command.ts';
import type { Meta } from './meta.ts';
import { sortNames } from './names.ts';
import type { Entry, EntryRecord, NamespaceState } from './namespace-state.ts';
import { commandHashOf } from './operations.ts';
import type { Request } from './request.ts';
import { isNoted, notedMeta, shownMeta, staleOf } from './retraction.ts';
import { isSealed } from './sealed.ts';
import { createUpdate, type PendingUpdate, type Update } from './update.ts';
import type { JsonValue } from './value.ts';

/**
 * Returns the updates that a request causes in a state, in order, possibly none. Changes nothing itself. The result
 * depends only on the state, the request with its instant, and the floor of the log, so deciding again gives the same updates.
 * Entries expired at that instant must have been removed before (see {@link expired}).
 *
 * @param floor Highest version that a dropped namespace of the log has had; 0: none was dropped. A namespace that does not
 *   exist begins above it.
 *
 * @throws {VersionConflictError} if a condition does not hold. A batch then has no updates at all.
 * @throws {ContextCacheError} `INVALID_VALUE` if an `increment` has no number to count from, or no number as its result;
 *   `SCHEMA_MISMATCH` if a value that is known only now does not fit its schema.
 */
export function decide(state: NamespaceState, request: Request, floor: number): PendingUpdate[] {
  if (request.isWhole) return decideWhole(state, request, floor);
  const version = nextVersion(state, floor);
  const step = computed(state, request, version);
  const update = decideStep(state, request, step, version, state.versionOf(step.key), floor);
  return update === undefined ? [] : [update];
}

/** Returns the version that the next update of a namespace has. */
export function nextVersion(state: NamespaceState, floor: number): number {
  return (state.version === 0 ? floor : state.version) + 1;
}

/** Returns `begins` of the update with a version: see {@link Update}. */
export function beginsWith(state: NamespaceState, version: number, floor: number): true | undefined {
  return floor > 0 && state.version === 0 && version === floor + 1 ? true : undefined;
}

/**
 * Moves the updates of one command above the floor, if it has risen since they were decided and the namespace still does not
 * exist. The key of an `append` stays, because a primary may have it already.
 */
export function moveAbove(floor: number, state: NamespaceState, updates: readonly PendingUpdate[]): void {
  const [first] = updates;
  if (first === undefined || state.version !== 0) return;
  const by = nextVersion(state, floor) - first.version;
  if (by === 0) return;
  first.begins = true;
  for (const update of updates) {
    update.version += by;
    if (update.replaced > 0) update.replaced += by;
  }
}

/** Returns the step of a request, whose key or value may depend on the state. */
function computed(state: NamespaceState, request: Request, version: number): Step {
  if (request.type === 'context.increment') return incremented(state, request);
  return request.type === 'context.append' ? appended(state, request, version) : request;
}

function incremented(state: NamespaceState, request: Request): Step {
  const { namespace, key, finish } = request;
  const entry = state.entries.get(key);
  // The caller of this function refuses the step.
  if (!holds(request.ifVersion, entry?.version ?? 0)) return request;
  if (entry !== undefined && entry.value === undefined) throw valueElsewhere('increment counts from');
  const { value = 0, expiresAt = null } = entry ?? {};
  if (isSealed(value)) throw sealedNumber(key, namespace);
  if (typeof value !== 'number') {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
    const problem = `Key ${JSON.stringify(key)} of namespace ${JSON.stringify(namespace)} holds no number to increment: it is ${kind}`;
    throw new ContextCacheError('INVALID_VALUE', `${problem}. Set a number first.`);
  }
  const by = request.value as number;
  const sum = value + by;
  const isWhole = Number.isSafeInteger(value) && Number.isSafeInteger(by);
  if (!Number.isFinite(sum) || (isWhole && !Number.isSafeInteger(sum))) {
    const problem = `The sum for key ${JSON.stringify(key)} is beyond the numbers that can be counted exactly`;
    throw new ContextCacheError('INVALID_VALUE', `${problem}: at most 2^53 - 1. Set it to a smaller number.`);
  }
  // -0 becomes 0, as in every value.
  const { value: stored, bytes } = finish?.(key, sum) ?? { value: sum + 0, bytes: 8 };
  const until = request.expiresAt === SAME_EXPIRY ? expiresAt : request.expiresAt;
  return { operation: 'set', key, value: stored, bytes, expiresAt: until, ifVersion: UNCONDITIONAL };
}

function sealedNumber(key: string, namespace: string): ContextCacheError {
  const problem = `Key ${JSON.stringify(key)} of namespace ${JSON.stringify(namespace)} holds a value with a subject, which is encrypted`;
  return new ContextCacheError(
    'INVALID_VALUE',
    `${problem} and cannot be incremented. Use update, which reads and writes it.`,
  );
}

function appended(
  state: NamespaceState,
  { key: prefix, value, bytes, expiresAt, finish }: Request,
  version: number,
): Step {
  const key = appendedKey(prefix, version, (taken) => state.entries.has(taken));
  const step = { operation: 'set', key, expiresAt, ifVersion: UNCONDITIONAL } as const;
  return { ...step, ...(finish?.(key, value) ?? { value, bytes }) };
}

function valueElsewhere(what: string): ContextCacheError {
  return invalidCommand(`${what} the stored value, which a primary of your own keeps: use update`);
}

function decideWhole(state: NamespaceState, request: Request, floor: number): PendingUpdate[] {
  switch (request.type) {
    case 'context.clear':
      if (request.key !== '') return clearingOf(state, request);
      return state.entries.size === 0 ? [] : [clearing(state, request, false)];
    case 'context.drop':
      return state.version === 0 ? [] : [clearing(state, request, true)];
    default:
      return decideBatch(state, request, request.steps ?? [], floor);
  }
}

function clearing(state: NamespaceState, request: Request, drop: boolean): PendingUpdate {
  return createUpdate({
    namespace: state.name,
    version: state.version + 1,
    operation: 'clear_namespace',
    at: request.at,
    agent: request.agent,
    drop,
    meta: request.meta,
    operationId: request.operationId,
    basis: request.basis,
  });
}

/** Returns the updates that remove all keys with the prefix of the request: one, unless there are very many. */
function clearingOf(state: NamespaceState, request: Request): PendingUpdate[] {
  const keys = sortNames([...state.entries.keys()].filter((key) => key.startsWith(request.key)));
  return Array.from(clearableParts(keys), (part, index) =>
    createUpdate({
      namespace: state.name,
      version: state.version + index + 1,
      operation: 'clear',
      at: request.at,
      agent: request.agent,
      bytes: bytesOfKeys(part),
      keys: Object.freeze(part),
      meta: request.meta,
      operationId: request.operationId,
      commandHash: hashFor(request),
      basis: request.basis,
    }),
  );
}

/** Returns the updates of a batch. Later steps see the results of earlier ones. */
function decideBatch(state: NamespaceState, request: Request, steps: readonly Step[], floor: number): PendingUpdate[] {
  const first = nextVersion(state, floor);
  const updates: PendingUpdate[] = [];
  const changed = new Map<string, Changed>();
  for (const step of steps) {
    const before = changed.get(step.key);
    const present = before?.version ?? state.versionOf(step.key);
    const update = decideStep(state, request, step, first + updates.length, present, floor, before);
    if (update === undefined) continue;
    updates.push(update);
    const value = update.operation === 'touch' ? before?.value : update.value;
    changed.set(step.key, { version: update.operation === 'delete' ? 0 : update.version, value });
  }
  return updates;
}

/** A key that an earlier step of the batch has changed. */
interface Changed {
  readonly version: number;
  /** `undefined`: that of the state. */
  readonly value: JsonValue | undefined;
}

/** `present`: version of the entry at this step; 0 if the key is missing. `before`: what the batch made of it so far. */
function decideStep(
  state: NamespaceState,
  request: Request,
  step: Step,
  version: number,
  present: number,
  floor: number,
  before?: Changed,
): PendingUpdate | undefined {
  if (step.ifVersion !== UNCONDITIONAL && !holds(step.ifVersion, present)) {
    if (step.skips === true) return undefined;
    throw conflict(state, step);
  }
  const isSet = step.operation === 'set';
  if ((!isSet && present === 0) || step.isCheck === true) return undefined;
  if (step.ifDifferent === true && present > 0 && hasValue(state, step, before)) return undefined;
  return createUpdate({
    namespace: state.name,
    version,
    operation: step.operation,
    key: step.key,
    value: isSet ? step.value : null,
    at: request.at,
    agent: step.agent ?? request.agent,
    expiresAt: step.expiresAt,
    replaced: present,
    begins: beginsWith(state, version, floor),
    bytes: isSet ? step.bytes : 0,
    meta: metaOf(state, step, step.meta ?? request.meta, before),
    operationId: request.operationId,
    commandHash: hashFor(request),
    basis: step.basis ?? basisOf(request, present),
  });
}

/** Returns the `meta` of an update. An entry that is touched stays stale, unless a retraction itself touches it. */
function metaOf(state: NamespaceState, step: Step, meta: Meta | undefined, before: Changed | undefined) {
  if (step.operation !== 'touch' || before?.value !== undefined || isNoted(meta)) return meta;
  const record = state.entries.get(step.key);
  const stale = record && staleOf(record);
  return stale === undefined ? meta : notedMeta(meta, { stale });
}

/** Returns the basis of an update. An increment has read the number that it counts from. */
function basisOf({ basis, type, namespace, key }: Request, present: number): Basis | undefined {
  if (basis === undefined || type !== 'context.increment' || present === 0 || basis.length >= MAX_READINGS)
    return basis;
  return Object.freeze([...basis, Object.freeze({ namespace, key, version: present })]);
}

/** Returns the hash that the updates of a request carry. Only a later command with its operation id needs it. */
function hashFor(request: Request): number | undefined {
  return request.operationId === undefined ? undefined : commandHashOf(request);
}

function hasValue(state: NamespaceState, { key, value }: Step, before: Changed | undefined): boolean {
  const present = before?.value === undefined ? state.entries.get(key)?.value : before.value;
  if (present === undefined) throw valueElsewhere('ifDifferent compares with');
  return isEqual(present, value);
}

function conflict(state: NamespaceState, { key, ifVersion }: Step): VersionConflictError {
  const current = state.entries.get(key);
  const entry = current === undefined ? undefined : publicEntry(state.name, key, current);
  return new VersionConflictError(state.name, key, ifVersion, entry);
}

/** Returns the update that removes one entry that has expired at `now`; `undefined` if none has. */
export function expired(state: NamespaceState, now: number): PendingUpdate | undefined {
  const key = state.nextExpired(now);
  if (key === undefined) return undefined;
  const version = state.versionOf(key);
  return createUpdate({
    namespace: state.name,
    version: state.version + 1,
    operation: 'expire',
    key,
    at: now,
    replaced: version,
  });
}

/** Returns an entry as readers see it. */
export function publicEntry(namespace: string, key: string, record: EntryRecord): Entry {
  const entry: { -readonly [Field in keyof Entry]: Entry[Field] } = {
    namespace,
    key,
    value: record.value === undefined ? null : record.value,
    version: record.version,
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    expiresAt: record.expiresAt,
    agent: record.agent,
  };
  if (isNoted(record.meta)) Object.assign(entry, shownMeta(record.meta));
  else if (record.meta !== undefined) entry.meta = record.meta;
  return Object.freeze(entry);
}
