import { crc32 } from 'node:zlib';
import { apply } from '../../core/apply.ts';
import { NamespaceDigest } from '../../core/encoding/digest.ts';
import { encodeEntry } from '../../core/encoding/entry-codec.ts';
import { type EntryRecord, filled, NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import type { BaseNamespace } from '../../storage/disk/log/logged-update.ts';
import type { Findings } from '../verify-findings.ts';

/** The state of namespaces that a base and the updates after it lead to. */
export class Fold {
  /** Number of parts that the namespaces are split into, and the part that is folded. */
  readonly #parts: number;
  readonly #part: number;
  readonly #states = new Map<string, NamespaceState>();
  /** `true` if updates are missing before this point: a namespace may then start with any version. */
  #isPartial = false;

  constructor(part: number, parts: number) {
    this.#part = part;
    this.#parts = parts;
  }

  /** Returns whether the namespace belongs to the part that is folded. */
  holds(name: string): boolean {
    return this.#parts === 1 || crc32(name) % this.#parts === this.#part;
  }

  /** Puts in a namespace of the base. */
  put(namespace: BaseNamespace): void {
    if (this.holds(namespace.name)) this.#states.set(namespace.name, filled(namespace));
  }

  /** Discards the states, which are not known any more because updates are missing. */
  lose(): void {
    this.#states.clear();
    this.#isPartial = true;
  }

  /**
   * Returns the version that the next update of a namespace must have; `undefined` if it is not known. `floor`: the highest version that
   * a dropped namespace has had.
   */
  versionAfter(namespace: string, floor: number): number | undefined {
    const state = this.#states.get(namespace);
    return state === undefined && this.#isPartial ? undefined : (state?.version || floor) + 1;
  }

  /** Applies an update, whatever its version is. */
  apply(update: Update): void {
    let state = this.#states.get(update.namespace);
    if (state === undefined) {
      state = new NamespaceState(update.namespace);
      this.#states.set(update.namespace, state);
    }
    state.version = update.begins === true ? 0 : update.version - 1;
    apply(state, update);
  }

  /** Returns a namespace; `undefined` if it does not exist. */
  get(name: string): NamespaceState | undefined {
    const state = this.#states.get(name);
    return state === undefined || state.version === 0 ? undefined : state;
  }

  /** Iterates over the names of the namespaces that exist. */
  *names(): Generator<string> {
    for (const [name, { version }] of this.#states) if (version > 0) yield name;
  }

  /** Returns the digest of each namespace; without the values if `valued` is `false`. */
  async digests(valued: boolean, findings: Findings): Promise<[name: string, digest: string][]> {
    const digests: [name: string, digest: string][] = [];
    for (const name of this.names()) {
      const { entries, version } = this.#states.get(name) as NamespaceState;
      digests.push([name, await digestOfEntries(entries, version, valued, findings)]);
    }
    return digests;
  }
}

/** Returns the digest of a namespace; without the values if `valued` is `false`. */
export async function digestOfEntries(
  entries: Iterable<readonly [string, EntryRecord]>,
  version: number,
  valued: boolean,
  findings: Findings,
): Promise<string> {
  const digest = new NamespaceDigest();
  for (const [key, entry] of entries) {
    digest.add(key, encodeEntry(valued ? entry : { ...entry, value: undefined }));
    await findings.step('namespaces', findings.counts.namespaces);
  }
  return digest.at(version);
}
