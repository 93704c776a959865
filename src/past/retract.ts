import { randomUUID } from 'node:crypto';
import type { TransactionResult } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError } from '../core/errors.ts';
import { invalidCommand } from '../core/invalid-command.ts';
import { type Operation, OperationReusedError } from '../core/operations.ts';
import { type Origin, originOf } from '../core/origin.ts';
import { FORGOTTEN_NAMESPACE, isOwnNamespace } from '../core/own-namespaces.ts';
import { Request } from '../core/request.ts';
import {
  type CheckedRetraction,
  checkedRetraction,
  type DependentEntry,
  type RetractedEntry,
  type RetractOptions,
  type RetractReport,
} from '../core/retract-options.ts';
import { type Retraction, retractionOf, staleOf } from '../core/retraction.ts';
import type { Impact } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { TraceReader } from '../engine/trace-reader.ts';
import { executeParts, type TransactionDeps } from '../engine/transactions.ts';
import type { Withdrawn } from './retract-lane.ts';
import { type PlanDeps, planOf, type RetractionPlan } from './retract-plan.ts';

/** The parts of a cache that a retraction uses. */
export interface RetractDeps extends TransactionDeps, Pick<PlanDeps, 'past' | 'clock'> {
  readonly access: {
    readonly isOn: boolean;
    may(agent: string, action: 'write', namespace: string, key: string): boolean;
    mayAll(agent: string, action: 'write', namespace: string): boolean;
    deny(denied: { agent: string; action: 'write'; command: string }): never;
  };
  readonly trace: Pick<TraceReader, 'impact'>;
  /** Resolves once everything that was acknowledged before is visible here. */
  readonly settle: () => Promise<void>;
  /** Resolves once a position is durable. */
  readonly whenDurable: (position: number) => Promise<void> | undefined;
}

/** Most writes that one retraction takes back or marks. */
const MAX_WRITES = 10_000;
/** Plans that are made because writers keep changing the entries meanwhile. */
const MAX_TRIES = 100;

/**
 * Takes an update back: its entries become what they were before, in one transaction. Later writes that are not based on the update
 * stay and are reported.
 */
export async function retract(deps: RetractDeps, position: number, options: RetractOptions): Promise<RetractReport> {
  const asked = checkedRetraction(position, options);
  const { agent, operationId } = options;
  const origin: Origin = originOf({ agent, operationId: operationId ?? randomUUID() });
  if (deps.primary !== undefined) {
    const message = 'retract needs the values in the cache; here a primary of your own keeps them.';
    throw new ContextCacheError('INVALID_OPTION', `${message} Read the earlier value with history, and write it.`);
  }
  for (let tries = 1; ; tries += 1) {
    await deps.settle();
    const known = operationId === undefined ? undefined : await repeated(deps, operationId, asked);
    if (known !== undefined) {
      if (origin.agent !== null) requireWrites(deps, origin.agent, known);
      return known;
    }
    const target = await targetOf(deps, asked.position);
    if (origin.agent !== null) requireTarget(deps, origin.agent, target);
    const plan = await planOf(deps, await withdrawnBy(deps, target, asked), asked);
    if (origin.agent !== null) requireWrites(deps, origin.agent, plan);
    try {
      if (!asked.dryRun) plan.requireCurrent();
      return await executed(deps, plan, asked, origin);
    } catch (error) {
      const isOvertaken = error instanceof VersionConflictError || error instanceof OperationReusedError;
      if (!isOvertaken || tries === MAX_TRIES) throw error;
    }
  }
}

/** Resolves with what is taken back, and with what is marked. */
async function withdrawnBy(deps: RetractDeps, target: Update, { cascade }: CheckedRetraction): Promise<Withdrawn> {
  const roots = await groupOf(deps, target);
  const withdrawn = new Map<number, Update>();
  const marked = new Map<number, Update>();
  for (const root of roots) withdrawn.set(root.position, root);
  if (cascade !== 'none') {
    const found = new Map<number, Impact['writes'][number]>();
    for (const root of roots) {
      const { writes, more } = await deps.trace.impact(root.position, { limit: MAX_WRITES });
      if (more || found.size > MAX_WRITES) throw tooMany();
      for (const write of writes.slice(1))
        if (found.get(write.position)?.certain !== true) found.set(write.position, write);
    }
    for (const { position: at, certain } of found.values()) {
      const update = withdrawn.has(at) ? undefined : await deps.past.updateAt(at);
      if (update === undefined || isOwnNamespace(update.namespace)) continue;
      (cascade === 'restore' && certain ? withdrawn : marked).set(at, update);
    }
  }
  return { roots: new Set(roots.map((root) => root.position)), withdrawn, marked };
}

/** Resolves with the update at a position, which must be a write. */
async function targetOf({ past, log }: RetractDeps, position: number): Promise<Update> {
  const update = position > log.head ? undefined : await past.updateAt(position);
  if (update === undefined || position <= past.reach) {
    const known = `It can retract positions ${past.reach + 1} to ${log.head}`;
    throw new ContextCacheError('POSITION_UNAVAILABLE', `The log does not have position ${position}. ${known}.`);
  }
  const { namespace, operation } = update;
  if (namespace === FORGOTTEN_NAMESPACE) {
    const message = `Position ${position} records that a subject was forgotten. Its key is destroyed, so it cannot be taken back.`;
    throw new ContextCacheError('FORBIDDEN', message);
  }
  if (operation === 'expire' || operation === 'evict')
    throw invalidCommand(
      `position ${position} is an ${operation}, which no writer asked for. Retract the write before it`,
    );
  return update;
}

/** Resolves with the updates of a retraction, all of which are taken back together; for any other update with itself. */
async function groupOf({ past, log }: RetractDeps, update: Update): Promise<Update[]> {
  const about = aboutOf(update);
  if (about === undefined || update.operationId === undefined) return [update];
  const group = [update];
  const isOfGroup = (each: Update | undefined): each is Update =>
    each !== undefined && each.operationId === update.operationId && aboutOf(each) === about;
  for (const step of [-1, 1]) {
    for (let at = update.position + step; at > past.reach && at <= log.head; at += step) {
      const next = await past.updateAt(at);
      if (!isOfGroup(next)) break;
      group.push(next);
    }
  }
  return group.sort((a, b) => a.position - b.position);
}

/**
 * Returns the position that a retraction's update is about. A `touch` that marks an entry keeps the note of the retraction that wrote
 * the entry, and a `set` that restores one keeps its mark.
 */
function aboutOf(update: Update): number | undefined {
  const [retracted, because] = [retractionOf(update)?.position, staleOf(update)?.because];
  return update.operation === 'touch' ? (because ?? retracted) : (retracted ?? because);
}

/** @throws {AccessDeniedError} unless the agent may write what the update changed. */
function requireTarget({ access }: RetractDeps, agent: string, { namespace, key, keys }: Update): void {
  const may = (each: string) => access.may(agent, 'write', namespace, each);
  const isAllowed = key !== null ? may(key) : (keys?.every(may) ?? access.mayAll(agent, 'write', namespace));
  if (!isAllowed) access.deny({ agent, action: 'write', command: 'retract' });
}

/** @throws {AccessDeniedError} unless the agent may write every entry that the retraction is about. The error names none of them. */
function requireWrites(
  { access }: RetractDeps,
  agent: string,
  { restored, marked, supported, conflicts }: Pick<RetractReport, 'restored' | 'marked' | 'supported' | 'conflicts'>,
): void {
  if (!access.isOn) return;
  const all = [...restored, ...marked, ...supported, ...conflicts];
  if (all.every(({ namespace, key }) => access.may(agent, 'write', namespace, key))) return;
  access.deny({ agent, action: 'write', command: 'retract' });
}

async function executed(
  deps: RetractDeps,
  { steps, restored, marked, supported, conflicts }: RetractionPlan,
  { position: retracted, dryRun }: CheckedRetraction,
  origin: Origin,
): Promise<RetractReport> {
  const report = { retracted, restored, marked, supported, conflicts };
  if (dryRun || steps.size === 0) return { ...report, position: deps.log.head, changed: false };
  const at = deps.door.now();
  const parts = Array.from(steps, ([namespace, own]) =>
    Request.ofWhole('context.transaction', namespace, at, origin, own),
  );
  const { position, changed }: TransactionResult = await executeParts(deps, parts);
  await deps.whenDurable(position);
  return { ...report, position, changed };
}

/**
 * Resolves with the report of a retraction that repeats a remembered operation; `undefined` if it must be made.
 *
 * @throws {OperationReusedError} if the operation did something else.
 */
async function repeated(
  { log, clock, past }: RetractDeps,
  operationId: string,
  { position: retracted }: Retraction,
): Promise<RetractReport | undefined> {
  const operation: Operation | undefined = log.operations.find(operationId, clock.now());
  if (operation === undefined) return undefined;
  const { position, updates, versions } = operation;
  const restored: RetractedEntry[] = [];
  const marked: DependentEntry[] = [];
  const supported: DependentEntry[] = [];
  for (let at = position - updates + 1; at <= position; at += 1) {
    const update = await past.updateAt(at);
    if (update === undefined) continue;
    const { namespace, key } = update;
    if (key === null || aboutOf(update) !== retracted) {
      const acknowledgement = { version: [...versions.values()].at(-1) ?? 0, position, changed: true };
      throw new OperationReusedError(operationId, acknowledgement);
    }
    if (update.operation === 'touch') (staleOf(update) === undefined ? supported : marked).push({ namespace, key });
    else restored.push({ namespace, key, removed: update.operation === 'delete' });
  }
  return { retracted, position, changed: true, restored, marked, supported, conflicts: [] };
}

function tooMany(): ContextCacheError {
  const problem = `More than ${MAX_WRITES.toLocaleString('en')} writes are based on it`;
  return invalidCommand(`${problem}. Retract it with cascade: 'none', and then those that impact lists`);
}
