import { digestOf, digestOfAll } from '../core/encoding/digest.ts';
import type { Capture } from '../core/namespace-state.ts';
import { digestOfCapture } from '../past/digests.ts';
import type { DiskLog } from '../storage/disk/log/disk-log.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import { captureState } from '../storage/state-capture.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { digestOfEntries, type Fold } from './disk/fold.ts';
import type { Findings } from './verify-findings.ts';

/** Upper bounds of what is captured at one time: namespaces, and their entries. */
const GROUP_NAMESPACES = 512;
const GROUP_ENTRIES = 20_000;

/** The parts of a cache with a data directory that are compared. */
export interface ResidentParts {
  readonly registry: NamespaceRegistry;
  readonly log: Pick<DiskLog, 'head' | 'recent'>;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
}

/**
 * Checks the memory of a cache with a data directory: compares the namespaces in memory with what base and log lead to.
 * The fold follows the log while writers go on.
 */
export class ResidentCheck {
  readonly #parts: ResidentParts;
  readonly #fold: Fold;
  readonly #findings: Findings;
  /** Position of the fold. */
  #position: number;

  /** The fold is that of a position, and is changed by the check. */
  constructor(parts: ResidentParts, fold: Fold, position: number, findings: Findings) {
    this.#parts = parts;
    this.#fold = fold;
    this.#position = position;
    this.#findings = findings;
  }

  async run(): Promise<void> {
    const { registry } = this.#parts;
    await this.#compareNames();
    const names = Array.from(registry.records(), ({ name }) => name).filter((name) => this.#fold.holds(name));
    for (let next = 0; next < names.length; ) {
      // Nothing else runs between here and the last capture, so all captures are of the position of the fold.
      this.#follow();
      const captures: Capture[] = [];
      let entries = 0;
      while (next < names.length && captures.length < GROUP_NAMESPACES && entries < GROUP_ENTRIES) {
        const state = registry.stateInMemory(names[next] as string);
        next += 1;
        if (state === undefined) continue;
        captures.push(state.capture());
        entries += state.entries.size;
      }
      try {
        for (const capture of captures) await this.#compare(capture);
      } finally {
        for (const capture of captures) capture.close();
      }
    }
  }

  /** Brings the fold to the present position. */
  #follow(): void {
    const { log } = this.#parts;
    for (const update of log.recent(this.#position + 1, log.head)) {
      if (this.#fold.holds(update.namespace)) this.#fold.apply(update);
      this.#position = update.position;
    }
  }

  /** Checks that every namespace of the log is known, and that there are no others. */
  async #compareNames(): Promise<void> {
    const { registry } = this.#parts;
    const isUnknown = (name: string) => this.#fold.get(name) !== undefined && !registry.has(name);
    const isExtra = (name: string) => {
      const isThere = (registry.stateInMemory(name)?.version ?? 1) > 0;
      return this.#fold.holds(name) && isThere && registry.has(name) && this.#fold.get(name) === undefined;
    };
    for (const [names, isWrong, message] of [
      [this.#fold.names(), isUnknown, 'The namespace is in the log but not known.'],
      [Array.from(registry.entries(), ([name]) => name), isExtra, 'The namespace is known but not in the log.'],
    ] as const) {
      for (const namespace of names) {
        if (isWrong(namespace)) {
          // It may have changed meanwhile.
          this.#follow();
          if (isWrong(namespace)) this.#findings.add('memory', { namespace }, message);
        }
        await this.#findings.step('memory', this.#findings.counts.resident);
      }
    }
  }

  async #compare(capture: Capture): Promise<void> {
    const { name: namespace, version, count } = capture;
    const state = this.#fold.get(namespace);
    const isEmpty = version === 0 && count === 0;
    const expected =
      state && (await digestOfEntries(state.entries, state.version, this.#parts.keepsValues, this.#findings));
    if (isEmpty ? state !== undefined : expected !== (await digestOfCapture(capture, this.#findings.slice))) {
      const message = `The namespace in memory (version ${version}, ${count} entries) differs from what the log leads to.`;
      this.#findings.add('memory', { namespace, position: capture.position }, message);
    }
    this.#findings.counts.resident += 1;
    await this.#findings.step('memory', this.#findings.counts.resident);
  }
}

/** The parts of a cache in memory. */
export interface MemoryParts {
  readonly registry: NamespaceRegistry;
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly now: number;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
}

/**
 * Verifies a cache in memory: folds its log, if that is still complete, and compares the namespaces with the result.
 */
export async function verifyMemory(
  { registry, log, past, now, keepsValues }: MemoryParts,
  findings: Findings,
): Promise<{ readonly position: number; readonly digest: string }> {
  const captured = captureState(registry, log, now);
  const { position } = captured;
  const isWhole = past.first === log.first - 1;
  const view = isWhole ? past.at(position) : undefined;
  const expected = new Set(view?.names());
  const digests: [name: string, digest: string][] = [];
  try {
    for await (const capture of captured.namespaces()) {
      const digest = await digestOfCapture(capture, findings.slice);
      digests.push([capture.name, digest]);
      findings.counts.namespaces += 1;
      findings.counts.entries += capture.count;
      if (view === undefined) continue;
      expected.delete(capture.name);
      const state = view.state(capture.name);
      findings.counts.resident += 1;
      const folded =
        state && (keepsValues ? digestOf(state) : await digestOfEntries(state.entries, state.version, false, findings));
      if (folded === digest) continue;
      findings.add(
        'memory',
        { namespace: capture.name, position },
        'The namespace differs from what its updates lead to.',
      );
    }
  } finally {
    captured.close();
  }
  for (const namespace of expected) findings.add('memory', { namespace, position }, 'The namespace is missing.');
  if (isWhole) findings.counts.updates += position - past.first;
  else findings.notes.push('There was no log to replay: the log in memory no longer holds its start.');
  return { position, digest: digestOfAll(digests) };
}
