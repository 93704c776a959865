import type { Step } from '../core/command.ts';
import type { MergeConflict } from '../core/conflict.ts';
import { publicEntry } from '../core/decide.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { Meta } from '../core/meta.ts';
import type { Entry, EntryRecord, NamespaceState } from '../core/namespace-state.ts';

/** The outcome for a key that both sides changed. */
export type Resolution = 'ours' | 'theirs' | { readonly value: unknown };

/** A conflict and its resolution. */
export interface ResolvedConflict extends MergeConflict {
  readonly resolution: Resolution;
}

/** A namespace on every side of a merge. A side without the namespace is `undefined`. */
export interface Sides {
  readonly name: string;
  /** The common states of theirs and of ours: the same at the first merge. */
  readonly theirsBefore: NamespaceState | undefined;
  readonly oursBefore: NamespaceState | undefined;
  readonly theirs: NamespaceState | undefined;
  readonly ours: NamespaceState | undefined;
}

/** Resolves conflicts and checks the values that are written. */
export interface Policy {
  /** Returns an entry as readers see it. */
  shown(entry: Entry): Entry;
  /** Returns `undefined` if the conflict stays open; then nothing is applied. */
  resolve(conflict: MergeConflict): Resolution | undefined;
  /** Returns the `meta` of a branch's entry without notes of retractions about positions that only the branch has. */
  shared(meta: Meta | undefined): Meta | undefined;
  /** Returns the step that stores a value. Throws if the value may not enter the cache. */
  set(namespace: string, key: string, value: unknown, given: Brought): Step;
}

/** Metadata of a merged value. */
export interface Brought {
  readonly expiresAt: number | null;
  readonly ifVersion: number;
  /** Agent that wrote it; `undefined`: the agent that merges. */
  readonly agent: string | undefined;
  /** What that writer attached. */
  readonly meta: Meta | undefined;
  /** The branch's entry that holds the value. */
  readonly entry: EntryRecord | undefined;
  /** The conflict that a new value resolves; it has the subjects of one of the two. */
  readonly conflict: MergeConflict | undefined;
}

/** The planned changes of one namespace. */
export interface NamespacePlan {
  readonly name: string;
  /** True if the merge drops the whole namespace. */
  readonly drop: boolean;
  readonly steps: readonly Step[];
  readonly resolved: readonly ResolvedConflict[];
  readonly unresolved: readonly MergeConflict[];
  /** Instant from which the plan is out of date, because an entry expires. */
  readonly validUntil: number;
}

/** Keys to plan between two checks of the time slice. */
const KEYS_A_TURN = 500;

/**
 * Plans the changes of a namespace at the instant `now`: what theirs changed since the common state and ours does not
 * have yet. An expired entry counts as missing on every side.
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
    const change = changeOf(key, sides, living, policy);
    if (change === undefined) continue;
    const { conflict, ours, theirs } = change;
    const resolution = conflict === undefined ? 'theirs' : policy.resolve(conflict);
    if (conflict !== undefined && resolution === undefined) unresolved.push(conflict);
    if (conflict !== undefined && resolution !== undefined) resolved.push({ ...conflict, resolution });
    if (resolution === undefined || resolution === 'ours') continue;
    const step = stepFor(sides.name, key, ours, resolution === 'theirs' ? theirs : resolution, policy, conflict);
    if (step !== undefined) steps.push(step);
  }
  return { ...plan, drop, steps, validUntil: living.until };
}

/** Live entries at one instant, and the next instant at which one expires. */
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

/** Returns whether ours is unchanged since the common state. */
function isUntouched({ ours, oursBefore }: Sides, living: Living): boolean {
  if (ours?.version === oursBefore?.version && ours?.position === oursBefore?.position) return true;
  const keys = new Set([...(ours?.entries.keys() ?? []), ...(oursBefore?.entries.keys() ?? [])]);
  for (const key of keys) if (differs(living.of(ours, key), living.of(oursBefore, key))) return false;
  return true;
}

/** Yields the keys that theirs may have changed. */
function* keysOf({ theirs, theirsBefore }: Sides): Generator<string> {
  for (const key of theirs?.entries.keys() ?? []) yield key;
  for (const key of theirsBefore?.entries.keys() ?? []) if (!theirs?.entries.has(key)) yield key;
}

/** Yields the keys that theirs changed and ours does not hold alike. */
function changeOf(key: string, sides: Sides, living: Living, policy: Policy) {
  const theirs = living.of(sides.theirs, key);
  const before = living.of(sides.theirsBefore, key);
  if (!differs(before, theirs)) return undefined;
  const ours = living.of(sides.ours, key);
  if (isAlike(ours, theirs)) return undefined;
  const isConflict = differs(living.of(sides.oursBefore, key), ours);
  const shown = (entry: EntryRecord | undefined) => entry && policy.shown(publicEntry(sides.name, key, entry));
  const conflict: MergeConflict | undefined = isConflict
    ? { namespace: sides.name, key, base: shown(before), ours: shown(ours), theirs: shown(theirs) }
    : undefined;
  return { conflict, ours, theirs };
}

/** Compares by version, and by content, because the three states may be those of different logs. */
function differs(a: EntryRecord | undefined, b: EntryRecord | undefined): boolean {
  return a !== b && (a?.version !== b?.version || !isEqual(a, b));
}

/** Returns whether a reader sees the same. */
export function isAlike(a: EntryRecord | undefined, b: EntryRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.expiresAt === b.expiresAt && isEqual(a.value, b.value);
}

/** Returns the step that gives ours the wanted entry; `undefined` if ours has it already. */
function stepFor(
  namespace: string,
  key: string,
  ours: EntryRecord | undefined,
  wanted: EntryRecord | { readonly value: unknown } | undefined,
  policy: Policy,
  conflict: MergeConflict | undefined,
): Step | undefined {
  const ifVersion = ours?.version ?? 0;
  if (wanted === undefined) return { ...NOTHING, operation: 'delete', key, ifVersion };
  if (!isEntry(wanted)) {
    const step = policy.set(namespace, key, wanted.value, { ...OF_NOBODY, ifVersion, conflict });
    const isThere = ours !== undefined && ours.expiresAt === null && isEqual(ours.value, step.value);
    return isThere ? undefined : step;
  }
  const { expiresAt, agent } = wanted;
  const meta = policy.shared(wanted.meta);
  if (ours !== undefined && isEqual(ours.value, wanted.value)) {
    return { ...NOTHING, operation: 'touch', key, ifVersion, expiresAt, agent: agent ?? undefined, meta };
  }
  const brought = { expiresAt, ifVersion, agent: agent ?? undefined, meta, entry: wanted, conflict: undefined };
  return policy.set(namespace, key, wanted.value, brought);
}

const NOTHING = { value: null, bytes: 0, expiresAt: null, agent: undefined } as const;
const OF_NOBODY = { expiresAt: null, agent: undefined, meta: undefined, entry: undefined } as const;

function isEntry(wanted: EntryRecord | { readonly value: unknown }): wanted is EntryRecord {
  return 'bytes' in wanted && 'updatedAt' in wanted;
}

/** Checks what `onConflict` returned. */
export function resolutionOf(answer: unknown): Resolution {
  if (answer === 'ours' || answer === 'theirs') return answer;
  if (typeof answer === 'object' && answer !== null && 'value' in answer) return { value: answer.value };
  throw new ContextCacheError('INVALID_OPTION', "onConflict must return 'ours', 'theirs' or { value }.");
}
