import { isDeepStrictEqual } from 'node:util';
import type { Step } from '../core/command.ts';
import type { MergeConflict } from '../core/conflict.ts';
import { publicEntry } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';

/** What becomes of a key that both have changed. */
export type Resolution = 'ours' | 'theirs' | { readonly value: unknown };

/** A conflict, and what was made of it. */
export interface ResolvedConflict extends MergeConflict {
  readonly resolution: Resolution;
}

/** A namespace on all sides of a merge; `undefined` where there is none. */
export interface Sides {
  readonly name: string;
  /** What theirs began with, and ours: the same at the first merge. */
  readonly theirsBefore: NamespaceState | undefined;
  readonly oursBefore: NamespaceState | undefined;
  readonly theirs: NamespaceState | undefined;
  readonly ours: NamespaceState | undefined;
}

/** How conflicts are resolved, and what is written in place of theirs. */
export interface Policy {
  /** `undefined`: it is not; nothing will be applied. */
  resolve(conflict: MergeConflict): Resolution | undefined;
  /** The step that stores a value. Throws where that may not enter the cache. */
  set(namespace: string, key: string, value: unknown, given: Brought): Step;
}

/** What goes with a value. */
export interface Brought {
  readonly expiresAt: number | null;
  readonly ifVersion: number;
  /** Who wrote it; `undefined`: whoever merges. */
  readonly agent: string | undefined;
  /** The entry it is the value of, in the branch. */
  readonly entry: EntryRecord | undefined;
}

/** What is to be done to one namespace. */
export interface NamespacePlan {
  readonly name: string;
  /** Everything in it goes, and it. */
  readonly drop: boolean;
  readonly steps: readonly Step[];
  readonly resolved: readonly ResolvedConflict[];
  readonly unresolved: readonly MergeConflict[];
  /** From this instant on it is another plan: an entry expires. */
  readonly validUntil: number;
}

/** After so many keys others may have a turn. */
const KEYS_A_TURN = 500;

/**
 * Works out what is to be done to a namespace at the instant `now`: what theirs has changed since it began, where ours
 * is not the same already. An entry whose time is over counts as none, on every side.
 */
export function* planNamespace(sides: Sides, now: number, policy: Policy): Generator<undefined, NamespacePlan> {
  const living = new Living(now);
  const steps: Step[] = [];
  const resolved: ResolvedConflict[] = [];
  const unresolved: MergeConflict[] = [];
  const plan = { name: sides.name, resolved, unresolved };
  const drop = isDropped(sides) && isUntouched(sides, living);
  if (drop) return { ...plan, drop, steps, validUntil: living.until };
  let seen = 0;
  for (const key of keysOf(sides)) {
    seen += 1;
    if (seen % KEYS_A_TURN === 0) yield;
    const change = changeOf(key, sides, living);
    if (change === undefined) continue;
    const { conflict, ours, theirs } = change;
    const resolution = conflict === undefined ? 'theirs' : policy.resolve(conflict);
    if (conflict !== undefined && resolution === undefined) unresolved.push(conflict);
    if (conflict !== undefined && resolution !== undefined) resolved.push({ ...conflict, resolution });
    if (resolution === undefined || resolution === 'ours') continue;
    const step = stepFor(sides.name, key, ours, resolution === 'theirs' ? theirs : resolution, policy);
    if (step !== undefined) steps.push(step);
  }
  return { ...plan, drop, steps, validUntil: living.until };
}

/** Entries at one instant, and how long that stays so. */
class Living {
  readonly #now: number;
  until = Number.POSITIVE_INFINITY;

  constructor(now: number) {
    this.#now = now;
  }

  of(state: NamespaceState | undefined, key: string): EntryRecord | undefined {
    const entry = state?.entries.get(key);
    if (entry === undefined || entry.expiresAt === null) return entry;
    if (entry.expiresAt <= this.#now) return undefined;
    this.until = Math.min(this.until, entry.expiresAt);
    return entry;
  }
}

function isDropped({ theirsBefore, theirs, ours }: Sides): boolean {
  return theirsBefore !== undefined && theirs === undefined && ours !== undefined;
}

/** Whether ours is as it began. */
function isUntouched({ ours, oursBefore }: Sides, living: Living): boolean {
  if (ours?.version === oursBefore?.version && ours?.position === oursBefore?.position) return true;
  const keys = new Set([...(ours?.entries.keys() ?? []), ...(oursBefore?.entries.keys() ?? [])]);
  for (const key of keys) if (differs(living.of(ours, key), living.of(oursBefore, key))) return false;
  return true;
}

/** Keys that theirs may have changed. */
function* keysOf({ theirs, theirsBefore }: Sides): Generator<string> {
  for (const key of theirs?.entries.keys() ?? []) yield key;
  for (const key of theirsBefore?.entries.keys() ?? []) if (!theirs?.entries.has(key)) yield key;
}

/** What theirs has changed, where ours is not the same. */
function changeOf(key: string, sides: Sides, living: Living) {
  const theirs = living.of(sides.theirs, key);
  const before = living.of(sides.theirsBefore, key);
  if (!differs(before, theirs)) return undefined;
  const ours = living.of(sides.ours, key);
  if (isAlike(ours, theirs)) return undefined;
  const isConflict = differs(living.of(sides.oursBefore, key), ours);
  const shown = (entry: EntryRecord | undefined) => entry && publicEntry(sides.name, key, entry);
  const conflict: MergeConflict | undefined = isConflict
    ? { namespace: sides.name, key, base: shown(before), ours: shown(ours), theirs: shown(theirs) }
    : undefined;
  return { conflict, ours, theirs };
}

/** By version, and, because a namespace that was dropped counts anew, by what is in it. */
function differs(a: EntryRecord | undefined, b: EntryRecord | undefined): boolean {
  return a !== b && (a?.version !== b?.version || !isDeepStrictEqual(a, b));
}

/** Whether a reader would see the same. */
function isAlike(a: EntryRecord | undefined, b: EntryRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.expiresAt === b.expiresAt && isDeepStrictEqual(a.value, b.value);
}

/** What makes ours the wanted one; `undefined` where it is that already. */
function stepFor(
  namespace: string,
  key: string,
  ours: EntryRecord | undefined,
  wanted: EntryRecord | { readonly value: unknown } | undefined,
  policy: Policy,
): Step | undefined {
  const ifVersion = ours?.version ?? 0;
  if (wanted === undefined) return { ...NOTHING, operation: 'delete', key, ifVersion };
  if (!isEntry(wanted)) {
    const step = policy.set(namespace, key, wanted.value, { ...OF_NOBODY, ifVersion });
    const isThere = ours !== undefined && ours.expiresAt === null && isDeepStrictEqual(ours.value, step.value);
    return isThere ? undefined : step;
  }
  const { expiresAt, agent } = wanted;
  if (ours !== undefined && isDeepStrictEqual(ours.value, wanted.value)) {
    return { ...NOTHING, operation: 'touch', key, ifVersion, expiresAt, agent: agent ?? undefined };
  }
  const brought = { expiresAt, ifVersion, agent: agent ?? undefined, entry: wanted };
  return policy.set(namespace, key, wanted.value, brought);
}

const NOTHING = { value: null, bytes: 0, expiresAt: null, agent: undefined } as const;
const OF_NOBODY = { expiresAt: null, agent: undefined, entry: undefined } as const;

function isEntry(wanted: EntryRecord | { readonly value: unknown }): wanted is EntryRecord {
  return 'bytes' in wanted && 'updatedAt' in wanted;
}

/** What `onConflict` has answered, checked. */
export function resolutionOf(answer: unknown): Resolution {
  if (answer === 'ours' || answer === 'theirs') return answer;
  if (typeof answer === 'object' && answer !== null && 'value' in answer) return { value: answer.value };
  throw new ContextCacheError('INVALID_OPTION', "onConflict answers 'ours', 'theirs' or { value }.");
}
