import type { Clock } from '../core/clock.ts';
import { digestOf, digestOfAll, digestOfNothing, NamespaceDigest } from '../core/encoding/digest.ts';
import { encodeEntry } from '../core/encoding/entry-codec.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { Capture, NamespaceState } from '../core/namespace-state.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { NamespaceRecord } from '../storage/namespace-record.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** A digest and the capture that it belongs to. The capture stays open: it records which keys to hash the next time. */
interface Known {
  readonly digest: string;
  readonly capture: Capture;
}

/** A captured namespace with its previous digest; or its digest, if the disk has it. */
type Frozen =
  | string
  | { readonly state: NamespaceState; readonly capture: Capture; readonly before: Known | undefined };

/** Computes digests of the state. The first call hashes every entry, later ones only what has changed since. */
export class Digests {
  readonly #registry: NamespaceRegistry;
  readonly #log: UpdateLog;
  readonly #clock: Clock;
  readonly #known = new WeakMap<NamespaceState, Known>();
  /** One computation at a time: each continues from the result of the last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(registry: NamespaceRegistry, log: UpdateLog, clock: Clock) {
    this.#registry = registry;
    this.#log = log;
    this.#clock = clock;
  }

  /** Returns the digest of a namespace; that of an empty namespace if it never existed. */
  of(namespace: string): Promise<string> {
    checkName('namespace', namespace);
    return this.#inTurn(async (slice) => {
      const record = this.#registry.inMemory(namespace);
      if (record !== undefined) return this.#digest(this.#freeze(record.state), slice);
      return this.#registry.has(namespace) ? this.#onDisk(namespace) : digestOfNothing();
    });
  }

  /** Returns the digest of all namespaces at one position. */
  all(): Promise<string> {
    return this.#inTurn((slice) => this.#all(slice));
  }

  #inTurn<Result>(task: (slice: TimeSlice) => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(() => {
      if (this.#log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
      return task(new TimeSlice(this.#clock));
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #all(slice: TimeSlice): Promise<string> {
    const position = this.#log.head;
    /** Namespaces captured before they changed, and those already hashed. */
    const kept = new Map<string, Frozen | undefined>();
    const keep = ({ name, state }: NamespaceRecord) => {
      if (kept.has(name)) return;
      const wasThere = state.version > 0 && state.position <= position;
      kept.set(name, wasThere ? this.#freeze(state) : undefined);
    };
    const stop = this.#registry.beforeChange(keep);
    const found: [name: string, digest: string][] = [];
    const take = async (name: string) => {
      const frozen = kept.get(name);
      kept.set(name, undefined);
      if (frozen !== undefined) found.push([name, await this.#digest(frozen, slice)]);
      if (slice.over) await slice.pause();
    };
    try {
      // The names of a branch's base are valid only for this turn.
      const entries = this.#registry.entries();
      for (const [name, record] of this.#registry.isBranch ? [...entries] : entries) {
        if (kept.has(name)) continue;
        if (record !== null) keep(record);
        else {
          kept.set(name, undefined);
          found.push([name, this.#onDisk(name)]);
        }
        await take(name);
      }
      // Namespaces that were captured before a change and then dropped.
      for (const name of kept.keys()) await take(name);
      return digestOfAll(found);
    } finally {
      stop();
      for (const frozen of kept.values()) if (typeof frozen === 'object') frozen.capture.close();
    }
  }

  /** Does not bring a passivated namespace to memory. */
  #onDisk(name: string): string {
    const stored = this.#registry.summaryOnDisk(name)?.digest;
    if (stored !== undefined) return stored;
    const state = this.#registry.stateOnDisk(name);
    return state === undefined ? digestOfNothing() : digestOf(state);
  }

  #freeze(state: NamespaceState): Frozen {
    const stored = this.#registry.summaryOnDisk(state.name);
    const isStored = stored?.position === state.position && stored.version === state.version;
    if (isStored && stored.digest !== undefined) return stored.digest;
    const before = this.#known.get(state);
    this.#known.delete(state);
    const capture = state.capture();
    before?.capture.close();
    return { state, capture, before };
  }

  async #digest(frozen: Frozen, slice: TimeSlice): Promise<string> {
    if (typeof frozen === 'string') return frozen;
    const { state, capture, before } = frozen;
    try {
      const digest = before?.capture.sharesEntries(capture)
        ? await digestAfter(before, capture, slice)
        : await digestOfCapture(capture, slice);
      this.#known.set(state, { digest, capture });
      return digest;
    } catch (error) {
      capture.close();
      throw error;
    }
  }
}

/** Computes the digest of a captured namespace from all of its entries. */
export async function digestOfCapture(capture: Capture, slice: TimeSlice): Promise<string> {
  const digest = new NamespaceDigest();
  for (const [key, entry] of capture.entriesOnce()) {
    digest.add(key, encodeEntry(entry));
    if (slice.over) await slice.pause();
  }
  return digest.at(capture.version);
}

/** Computes the same digest as {@link digestOfCapture}, from an earlier one and the keys that changed since. */
async function digestAfter(before: Known, capture: Capture, slice: TimeSlice): Promise<string> {
  const digest = new NamespaceDigest(before.digest, before.capture.version);
  for (const [key, earlier] of before.capture.changed()) {
    const entry = capture.get(key);
    if (earlier !== undefined) digest.remove(key, encodeEntry(earlier));
    if (entry !== undefined) digest.add(key, encodeEntry(entry));
    if (slice.over) await slice.pause();
  }
  return digest.at(capture.version);
}
