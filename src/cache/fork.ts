import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { optionNames } from '../core/options.ts';
import type { JsonValue } from '../core/value.ts';
import { inMilliseconds } from '../engine/durations.ts';
import type { Internals } from '../engine/internals.ts';
import { OPEN_NAMES } from '../engine/option-names.ts';
import type { EngineOptions, OpenOptions } from '../engine/options.ts';
import { branchStorage, ORIGIN, openStorage, type Storage } from '../engine/storage.ts';
import type { History } from '../past/history.ts';
import { ancestorsAt, type Lineage } from '../storage/lineage.ts';
import type { StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/**
 * How a branch is made. Its parent's `onError`, `clock`, `schemas`, `limits`, `log`, `restart` and `maxWaiting` are its
 * own unless others are given. Mirror, broadcast and backup are not: a branch has none but those that are named here, so
 * that nothing of what is tried in it gets out.
 */
export interface ForkOptions extends Omit<OpenOptions, 'primaryCache' | 'restoreFrom'> {
  /** The moment the branch begins with: a position, or an instant. Default: the present. */
  readonly at?: number | Date | undefined;
  /**
   * A new directory for the branch. The state at that moment is copied into it, which takes as long as writing it does;
   * the branch is durable then and independent of its parent. Default: none, the branch is in memory, takes no time, and
   * reads what it has not changed from its parent.
   */
  readonly dataDir?: string | undefined;
  /** Ends the copying. */
  readonly signal?: AbortSignal | undefined;
}

const { primaryCache: _primary, restoreFrom: _restore, ...BRANCH_NAMES } = OPEN_NAMES;

const FORK_OPTIONS = optionNames<ForkOptions>('fork', { ...BRANCH_NAMES, at: true, signal: true });

const INHERITED = ['onError', 'clock', 'schemas', 'limits', 'log', 'restart', 'maxWaiting', 'internals'] as const;

/** A branch before it is made a cache. */
interface Branch {
  readonly options: EngineOptions;
  readonly storage: Storage;
}

/** Makes what a branch stands on; for its parent's `fork`. */
export async function makeBranch(parent: Internals, history: History, given: ForkOptions): Promise<Branch> {
  const options = optionsOfBranch(parent.options, given);
  FORK_OPTIONS.check(given);
  given.signal?.throwIfAborted();
  const moment = history.begin(given.at);
  if (options.dataDir === undefined) return { options, storage: await inMemory(parent, moment, options) };
  try {
    await fillDirectory(parent.parts.log, moment, options, given.signal);
  } finally {
    moment.release?.();
  }
  return { options, storage: await openStorage(options) };
}

function optionsOfBranch(parent: EngineOptions, { at: _, signal: __, ...own }: ForkOptions): EngineOptions {
  const { primaryCache, restoreFrom } = own as OpenOptions;
  // JavaScript callers are not held to the types.
  if (primaryCache !== undefined || restoreFrom !== undefined) {
    const message = 'A branch begins with the state of its parent: it takes no primaryCache and no restoreFrom.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const options: Record<string, unknown> = { ...inMilliseconds(own) };
  for (const name of INHERITED) options[name] ??= parent[name];
  return options;
}

/** Nothing is read or copied. */
async function inMemory({ past, parts }: Internals, moment: StateView, options: EngineOptions): Promise<Storage> {
  return branchStorage(options, { moment, past, log: parts.log, madeAt: parts.clock.now() });
}

/** Makes a data directory of the moment: whenever the process ends, there is a whole one or none. */
async function fillDirectory(
  log: UpdateLog,
  moment: StateView,
  { dataDir = '', clock = systemClock, sync }: EngineOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Loaded only here: a cache in memory needs no storage engine.
  const { StagedDirectory } = await import('../storage/disk/staged-directory.ts');
  const staged = await StagedDirectory.create(dataDir, { clock, sync });
  try {
    // What a crash could still take from the parent must not be in the branch.
    await log.whenCommitted(moment.position);
    await staged.log.configStore.set(ORIGIN, ancestorsAt(moment.position, moment.lineage).map(plain));
    if (moment.position > 0) {
      await staged.table.adopt(statesOf(moment, signal), moment.position, signal);
      await staged.log.beginAfter(moment.position);
    }
    await staged.finish();
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

function plain({ log, until }: Lineage[number]): JsonValue {
  return { log, until };
}

function* statesOf(moment: StateView, signal: AbortSignal | undefined): Generator<NamespaceState> {
  // All at once: others have their turns in between, and names are only listed for the turn.
  for (const name of [...moment.names()]) {
    signal?.throwIfAborted();
    const state = moment.state(name);
    if (state !== undefined) yield state;
  }
}
