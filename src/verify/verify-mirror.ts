import { isDeepStrictEqual } from 'node:util';
import type { BaseContextCache, MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import { compareNames, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { Findings } from './verify-findings.ts';

/** What a mirror or backup is compared with. */
export interface Compared {
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly clock: Clock;
  /** Resolves once the followers have delivered what is written by now, or will not soon. */
  readonly synced: () => Promise<void>;
}

/** How often a difference is looked at again before it is told: what is on its way has arrived by then. */
const LOOKS = 4;
/** How long one call of the mirror may take. */
const CALL_MS = 30_000;
/** Another machine's clock may let an entry expire so much earlier. */
const SKEW_MS = 1_000;
/** Keys that differ are looked at again up to this number. */
const MAX_SUSPECTS = 10_000;

/** A stretch of the log that the mirror went through while it was read. */
interface Stretch {
  readonly view: StateView;
  readonly updates: readonly Update[];
}

/** Compares a mirror with the cache, key by key, as of the position that the mirror is at, while both go on. */
export class MirrorCheck {
  readonly #mirror: BaseContextCache;
  readonly #with: Compared;
  readonly #findings: Findings;
  /** By namespace the keys that differ, as far as is known. */
  #suspects = new Map<string, Set<string>>();
  #suspected = 0;

  constructor(mirror: BaseContextCache, compared: Compared, findings: Findings) {
    this.#mirror = mirror;
    this.#with = compared;
    this.#findings = findings;
  }

  async run(): Promise<void> {
    await this.#with.synced();
    await this.#tellLag();
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

  async #tellLag(): Promise<void> {
    const { notes } = this.#findings;
    const { log } = this.#with;
    const position = await this.#position();
    const { head } = log;
    if (position === undefined)
      notes.push('The mirror does not say how far it has got; it was compared with the present.');
    else if (position > head) {
      const message = `The mirror has got to position ${position}, but the log ends at ${head}.`;
      this.#findings.add('different', { position }, message);
    } else notes.push(`The mirror is at position ${position}, ${head - position} behind.`);
    if (await this.#call(async (signal) => this.#mirror.otherLogs?.(log.id, signal))) {
      notes.push('Another cache mirrors to the same place; what only that one wrote is told as extra.');
    }
  }

  /** Namespaces that are on both sides; the others are told. */
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
        this.#tellNamespaces(wrong, ours);
        return theirs.filter((name) => ours.has(name) || moving.has(name)).sort(compareNames);
      }
      await this.#with.synced();
    }
  }

  #tellNamespaces(wrong: readonly string[], ours: ReadonlySet<string>): void {
    for (const namespace of wrong) {
      if (ours.has(namespace)) this.#findings.add('missing', { namespace }, 'The namespace is not there.');
      else this.#findings.add('extra', { namespace }, 'The namespace should not be there.');
    }
  }

  /** Not every backend lists a namespace without keys; one that keeps a position does. */
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

  /** `only`: keys that are looked at again; `last`: what is still different then is told. */
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
      if (last) this.#tell(name, key, entry, value);
      else this.#suspect(name, key, entry, value);
    }
  }

  #suspect(namespace: string, key: string, entry: EntryRecord | undefined, value: JsonValue | undefined): void {
    this.#suspected += 1;
    if (this.#suspected > MAX_SUSPECTS) {
      // That many are not on their way.
      this.#tell(namespace, key, entry, value);
      return;
    }
    const own = this.#suspects.get(namespace) ?? new Set();
    this.#suspects.set(namespace, own.add(key));
  }

  #tell(namespace: string, key: string, entry: EntryRecord | undefined, value: JsonValue | undefined): void {
    const where = { namespace, key };
    if (value === undefined) this.#findings.add('missing', where, 'The key is not there.');
    else if (entry === undefined) this.#findings.add('extra', where, 'The key should not be there.');
    else this.#findings.add('different', where, 'The key has another value.');
  }

  /** What was read, and where the mirror was before and after. */
  async #reading<T>(read: () => MaybePromise<T>): Promise<{ value: T; before: number; after: number }> {
    const { head } = this.#with.log;
    const before = (await this.#position()) ?? head;
    const value = await this.#call(async () => read());
    return { value, before, after: (await this.#position()) ?? this.#with.log.head };
  }

  /** The cache at a position that the mirror may have been at, and every update that may have come to it meanwhile. */
  async #stretch(before: number, after: number): Promise<Stretch> {
    const { log, past } = this.#with;
    // What the past does not go back to is compared as it is now; what has changed since is looked at again.
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
  return isDeepStrictEqual(entry.value, value);
}

/** Whether the key may have had this value for a while. */
function mayBe(key: string, value: JsonValue | undefined, updates: readonly Update[]): boolean {
  return updates.some((update) => {
    if (update.key === null) return value === undefined;
    if (update.key !== key || update.operation === 'touch') return false;
    return isDeepStrictEqual(update.operation === 'set' ? update.value : undefined, value);
  });
}
