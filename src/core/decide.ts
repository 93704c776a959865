import type { Step } from './command.ts';
import { VersionConflictError } from './conflict.ts';
import type { Entry, EntryRecord, NamespaceState } from './namespace-state.ts';
import type { Request } from './request.ts';
import { createUpdate, type PendingUpdate } from './update.ts';

/**
 * Returns the updates that a request causes in a state, in order, possibly none. Changes nothing itself. The result
 * depends only on the state and the request with its instant, so deciding again gives the same updates. Entries expired
 * at that instant must have been removed before (see {@link expired}).
 *
 * @throws {VersionConflictError} if a condition does not hold. A batch then has no updates at all.
 */
export function decide(state: NamespaceState, request: Request): PendingUpdate[] {
  if (request.isWhole) return decideWhole(state, request);
  const update = decideStep(state, request, request, state.version + 1, state.versionOf(request.key));
  return update === undefined ? [] : [update];
}

function decideWhole(state: NamespaceState, request: Request): PendingUpdate[] {
  switch (request.type) {
    case 'context.clear':
      return state.entries.size === 0 ? [] : [clearing(state, request, false)];
    case 'context.drop':
      return state.version === 0 ? [] : [clearing(state, request, true)];
    default:
      return decideBatch(state, request, request.steps ?? []);
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
  });
}

/** Returns the updates of a batch. Later steps see the results of earlier ones. */
function decideBatch(state: NamespaceState, request: Request, steps: readonly Step[]): PendingUpdate[] {
  const updates: PendingUpdate[] = [];
  const versions = new Map<string, number>();
  for (const step of steps) {
    const present = versions.get(step.key) ?? state.versionOf(step.key);
    const update = decideStep(state, request, step, state.version + updates.length + 1, present);
    if (update === undefined) continue;
    updates.push(update);
    versions.set(step.key, update.operation === 'delete' ? 0 : update.version);
  }
  return updates;
}

/** `present`: version of the entry at this step; 0 if the key is missing. */
function decideStep(
  state: NamespaceState,
  request: Request,
  step: Step,
  version: number,
  present: number,
): PendingUpdate | undefined {
  if (step.ifVersion >= 0 && step.ifVersion !== present) throw conflict(state, step);
  const isSet = step.operation === 'set';
  if (!isSet && present === 0) return undefined;
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
    bytes: isSet ? step.bytes : 0,
    meta: step.meta ?? request.meta,
    operationId: request.operationId,
  });
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
  if (record.meta !== undefined) entry.meta = record.meta;
  return Object.freeze(entry);
}
