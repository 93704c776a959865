import { join } from 'node:path';
import { apply } from '../../../core/apply.ts';
import { NamespaceState } from '../../../core/namespace-state.ts';
import type { Update } from '../../../core/update.ts';
import { readBaseSync } from '../base/base-file.ts';
import type { Files } from '../files.ts';
import type { LogFileNames } from '../log/file-log.ts';
import type { BaseNamespace } from '../log/logged-update.ts';
import type { IndexTruth } from './index-truth.ts';

/** The part of a log on disk that {@link LogTruth} reads. */
export interface TruthfulLog {
  readonly id: string;
  /** Folder that holds the log and the base. */
  readonly path: string;
  names(): LogFileNames;
  /** Returns the updates between two positions, both inclusive. */
  recent(from: number, to: number): Update[];
}

/** Number of updates read at a time. */
const READ = 4096;

/** Reads the base and the log from their start. */
export class LogTruth implements IndexTruth {
  readonly #files: Files;
  readonly #log: TruthfulLog;

  constructor(files: Files, log: TruthfulLog) {
    this.#files = files;
    this.#log = log;
  }

  names(position: number): Iterable<string> {
    const names = new Set<string>();
    for (const { name } of this.#base()) names.add(name);
    for (const { namespace, drop } of this.#updates(position)) {
      if (drop) names.delete(namespace);
      else names.add(namespace);
    }
    return names;
  }

  stateAt(namespace: string, position: number): NamespaceState | undefined {
    const state = this.#baseState(namespace);
    for (const update of this.#updates(position)) if (update.namespace === namespace) apply(state, update);
    return state.version === 0 ? undefined : state;
  }

  lastChange(namespace: string, position: number): number {
    let last = this.#baseState(namespace).position;
    for (const update of this.#updates(position)) if (update.namespace === namespace) last = update.position;
    return last;
  }

  #baseState(namespace: string): NamespaceState {
    const state = new NamespaceState(namespace);
    for (const { name, version, position, entries } of this.#base()) {
      if (name !== namespace) continue;
      for (const [key, entry] of entries) state.put(key, entry);
      state.version = version;
      state.position = position;
      break;
    }
    return state;
  }

  #base(): Iterable<BaseNamespace> {
    const { path, id } = this.#log;
    const { base } = this.#log.names();
    return base === 0 ? [] : readBaseSync(this.#files, join(path, 'base'), { log: id, position: base });
  }

  *#updates(to: number): Generator<Update> {
    for (let from = this.#log.names().base + 1; from <= to; from += READ) {
      yield* this.#log.recent(from, Math.min(to, from + READ - 1));
    }
  }
}
