import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import { isEqual } from '../core/equal.ts';
import { compareNames, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { Findings } from './verify-findings.ts';

/** The cache that a mirror or backup is compared with. */
export interface Compared {
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly clock: Clock;
  /** Resolves when the followers have delivered what is written now, or when waiting for them has timed out. */
  readonly synced: () => Promise<void>;
}

/** How often a difference is checked before it is reported. Updates under way have arrived by then. */
const LOOKS = 4;
/** Milliseconds that one call of the mirror may take. */
const CALL_MS = 30_000;
/** Milliseconds by which the clock of another machine may let an entry expire too early. */
const SKEW_MS = 1_000;
/** Greatest number of differing keys that are checked again. */
const MAX_SUSPECTS = 10_000;

/** The part of the log that the mirror went through while it was read. */
interface Stretch {
  readonly view: StateView;
  readonly updates: readonly Update[];
}

/** Compares a mirror with the cache, key by key, at the position of the mirror, while both stay in use. */
export class MirrorCheck {
  readonly #mirror: BaseContextCache;
  readonly #with: Compared;
  readonly #findings: Findings;
  /** Keys that seem to differ, by namespace. */
  #suspects = new Map<string, Set<string>>();
  #suspected = 0;

  constructor(mirror: BaseContextCache, compared: Compared, findings: Findings) {
    this.#mirror = mirror;
    this.#with = compared;
    this.#findings = findings;
  }

  async run(): Promise<void> {
    await this.#with.synced();
    await this.#noteLag();
    for (const name of await this.#compareNamespaces()) {
      await this.#compareKeys(name, undefined);
      await this.#findings.step('against', this.#findings.counts.compared);
    }
    for (let look = 1; look < LOOKS && this.#suspects.size > 0; look += 1) {
      await this.#with.synced();
      const again = this.#suspects;
      this.#suspects = new Map();
      this.#suspected = 0;
      for (const [name, keys] of again) await this.#compareKeys(name, keys, look === LOOKS - 1);
    }
  }

  async #noteLag(): Promise<void> {
    const { notes } = this.#findings;
    const { log } = this.#with;
    const position = await this.#position();
    const { head } = log;
    if (position === undefined)
      notes.push('The mirror does not record its position; it was compared with the present state.');
    else if (position > head) {
      const message = `The mirror is at position ${position}, but the log ends at ${head}.`;
      this.#findings.add('different', { position }, message);
    } else notes.push(`The mirror is at position ${position}, ${head - position} behind.`);
    if (await this.#call(async (signal) => this.#mirror.otherLogs?.(log.id, signal))) {
      notes.push('Another cache mirrors to the same database; keys that only that cache wrote are reported as extra.');
    }
  }

  /** Returns the namespaces that exist on both sides, and reports the others. */
  async #compareNamespaces(): Promise<string[]> {
    for (let look = 1; ; look += 1) {
      const { value: theirs, before, after } = await this.#reading(() => this.#mirror.listNamespaces());
      const { view, updates } = await this.#stretch(before, after);
      const moving = new Set(updates.map(({ namespace }) => namespace));
      const ours = new Set(view.names());
      const known = new Set(theirs);
      const missing = [...ours].filter((name) => !known.has(name) && !moving.has(name));
      const extra = theirs.filter((name) => !ours.has(name) && !moving.has(name));
      const wrong = [...(await this.#unlessEmpty(missing, view)), ...(await this.#unlessEmptyThere(extra))];
      if (wrong.length === 0 || look === LOOKS) {
        this.#reportNamespaces(wrong, ours);
        return theirs.filter((name) => ours.has(name) || moving.has(name)).sort(compareNames);
      }
      await this.#with.synced();
    }
  }

  #reportNamespaces(wrong: readonly string[], ours: ReadonlySet<string>): void {
    for (const namespace of wrong) {
      if (ours.has(namespace)) this.#findings.add('missing', { namespace }, 'The namespace is missing.');
      else this.#findings.add('extra', { namespace }, 'The namespace should not exist.');
    }
  }

  /** Some backends do not list a namespace without keys; those that record a position do. */
  async #unlessEmpty(names: readonly string[], view: StateView): Promise<string[]> {
    const strict = this.#mirror.appliedPosition !== undefined;
    return names.filter((name) => strict || (view.state(name)?.entries.size ?? 0) > 0);
  }

  async #unlessEmptyThere(names: readonly string[]): Promise<string[]> {
    const strict = this.#mirror.appliedPosition !== undefined;
    const filled: string[] = [];
    for (const name of names) {
      const mayBeEmpty = !strict || name === DEFAULT_NAMESPACE;
      if (!mayBeEmpty || (await this.#call(async () => this.#mirror.listKeys(name))).length > 0) filled.push(name);
    }
    return filled;
  }

  /** Compares keys. `only`: the keys to check again. `last`: differences are now reported. */
  async #compareKeys(name: string, only: ReadonlySet<string> | undefined, last = false): Promise<void> {
    const {
      value: theirs,
      before,
      after,
    } = await this.#reading(async () => {
      const keys = only === undefined ? await this.#mirror.listKeys(name) : [...only];
      const values = await this.#mirror.getMany(keys, name);
      return new Map(keys.map((key, index) => [key, values[index]] as const));
    });
    const now = this.#with.clock.now();
    const { view, updates } = await this.#stretch(before, after);
    const entries = view.state(name)?.entries ?? new Map<string, EntryRecord>();
    const between = updates.filter(({ namespace }) => namespace === name);
    for (const key of only ?? new Set([...entries.keys(), ...theirs.keys()])) {
      if (only === undefined) this.#findings.counts.compared += 1;
      const [entry, value] = [entries.get(key), theirs.get(key)];
      if (isRight(entry, value, now) || mayBe(key, value, between)) continue;
      if (last) this.#report(name, key, entry, value);
      else this.#suspect(name, key, entry, value);
    }
  }

  #suspect(namespace: string, key: string, entry: EntryRecord | undefined, value: JsonValue | undefined): void {
    this.#suspected += 1;
    if (this.#suspected > MAX_SUSPECTS) {
      // More differences than can be under way.
      this.#report(namespace, key, entry, value);
      return;
    }
    const own = this.#suspects.get(namespace) ?? new Set();
    this.#suspects.set(namespace, own.add(key));
  }

  #report(namespace: string, key: string, entry: EntryRecord | undefined, value: JsonValue | undefined): void {
    const where = { namespace, key };
    if (value === undefined) this.#findings.add('missing', where, 'The key is missing.');
    else if (entry === undefined) this.#findings.add('extra', where, 'The key should not exist.');
    else this.#findings.add('different', where, 'The value differs.');
  }

  /** Reads from the mirror, and its position before and after. */
  async #reading<T>(read: () => MaybePromise<T>): Promise<{ value: T; before: number; after: number }> {
    const { head } = this.#with.log;
    const before = (await this.#position()) ?? head;
    const value = await this.#call(async () => read());
    return { value, before, after: (await this.#position()) ?? this.#with.log.head };
  }

  /**
   * Returns the cache at a position that the mirror may have had, and every update that may have reached it meanwhile.
   */
  async #stretch(before: number, after: number): Promise<Stretch> {
    const { log, past } = this.#with;
    // A position before the past is compared with the present state; what has changed since is checked again.
    const position = before >= past.first && before <= log.head ? before : log.head;
    const view = past.at(position);
    const updates: Update[] = [];
    const from = Math.max(Math.min(before, position) + 1, log.first);
    const to = Math.max(Math.min(after, log.head), position);
    if (to >= from) {
      await log.whenCommitted(to);
      for await (const group of log.read(from, to)) updates.push(...group);
    }
    return { view, updates };
  }

  #position(): Promise<number | undefined> {
    return this.#call(async (signal) => this.#mirror.appliedPosition?.(this.#with.log.id, signal));
  }

  #call<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock } = this.#with;
    return withDeadline(work, { what: 'The mirror', timeoutMs: CALL_MS, clock, signal: this.#findings.signal });
  }
}

function isRight(entry: EntryRecord | undefined, value: JsonValue | undefined, now: number): boolean {
  if (entry === undefined || value === undefined) {
    if (entry === undefined) return value === undefined;
    return entry.expiresAt !== null && entry.expiresAt <= now + SKEW_MS;
  }
  return isEqual(entry.value, value);
}

/** Returns whether the key may have had this value at some time during the updates. */
function mayBe(key: string, value: JsonValue | undefined, updates: readonly Update[]): boolean {
  return updates.some((update) => {
    if (update.operation === 'clear') return value === undefined && update.keys?.includes(key) === true;
    if (update.key === null) return value === undefined;
    if (update.key !== key || update.operation === 'touch') return false;
    return isEqual(update.operation === 'set' ? update.value : undefined, value);
  });
}
