import { join } from 'node:path';
import type { NamespaceState } from '../../../core/namespace-state.ts';
import type { Update } from '../../../core/update.ts';
import type { NamespaceSummary } from '../../state-source.ts';
import { readBaseSync } from '../base/base-file.ts';
import type { Files } from '../files.ts';
import type { LogFileNames } from '../log/file-log.ts';
import type { BaseNamespace } from '../log/logged-update.ts';
import { TruthFold } from './truth-fold.ts';

/** The part of a log on disk that {@link LogTruth} reads. */
export interface TruthfulLog {
  readonly id: string;
  /** Folder that holds the log and the base. */
  readonly path: string;
  /** @throws {ContextCacheError} `CLOSED` once the log is closed. */
  names(): LogFileNames;
  /** Returns the updates between two positions, both inclusive. */
  recent(from: number, to: number): Update[];
}

/** Number of updates read at a time. */
const READ = 4096;
/** Number of positions whose state is kept: that of the present, and that of a view. */
const FOLDS = 2;
/** Estimated bytes of state that are kept for each of them. */
const FOLD_BYTES = 32 * 1024 * 1024;

/**
 * The base and the log, from which everything is read that the index cannot answer: it is missing, being reopened, or
 * damaged. Slow: reads both from their start, and keeps what it has read last. Positions are those from the base on.
 */
export class LogTruth {
  readonly #files: Files;
  readonly #log: TruthfulLog;
  readonly #foldBytes: number;
  /** By base and position; the one that was read last is the last one. */
  readonly #folds = new Map<string, TruthFold>();
  /** `true` if something was read since the last {@link LogTruth.release}. */
  #isUsed = false;

  constructor(files: Files, log: TruthfulLog, foldBytes = FOLD_BYTES) {
    this.#files = files;
    this.#log = log;
    this.#foldBytes = foldBytes;
  }

  /** Iterates over the namespaces at a position. */
  names(position: number): Iterable<string> {
    return this.#fold(position).names;
  }

  /** Returns the metadata of a namespace at a position; `undefined` if it does not exist. */
  summaryAt(namespace: string, position: number): NamespaceSummary | undefined {
    return this.#fold(position).summary(namespace);
  }

  /** Returns a namespace at a position, in a state that the caller owns; `undefined` if it does not exist. */
  stateAt(namespace: string, position: number): NamespaceState | undefined {
    return this.#fold(position).state(namespace);
  }

  /** Returns the same for a reader that neither keeps nor changes it. */
  sharedAt(namespace: string, position: number): NamespaceState | undefined {
    return this.#fold(position).shared(namespace);
  }

  /** Returns the position of a namespace's last update up to a position; 0 if it has none. */
  lastChange(namespace: string, position: number): number {
    return this.#fold(position).lastChange(namespace);
  }

  /** Releases what has not been read since the last call. */
  release(): void {
    if (!this.#isUsed) this.#folds.clear();
    this.#isUsed = false;
  }

  #fold(position: number): TruthFold {
    // Also refuses to read what is kept of a log that was closed.
    const { base } = this.#log.names();
    const key = `${base} ${position}`;
    const source = { base: () => this.#base(base), updates: () => this.#updates(position) };
    const fold = this.#folds.get(key) ?? new TruthFold(source, this.#foldBytes);
    this.#folds.delete(key);
    this.#folds.set(key, fold);
    for (const [oldest] of this.#folds) {
      if (this.#folds.size <= FOLDS) break;
      this.#folds.delete(oldest);
    }
    this.#isUsed = true;
    return fold;
  }

  #base(base: number): Iterable<BaseNamespace> {
    const { path, id } = this.#log;
    return base === 0 ? [] : readBaseSync(this.#files, join(path, 'base'), { log: id, position: base });
  }

  *#updates(to: number): Generator<Update> {
    for (let from = this.#log.names().base + 1; from <= to; from += READ) {
      yield* this.#log.recent(from, Math.min(to, from + READ - 1));
    }
  }
}
