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
 * Options of a branch. It inherits its parent's grants, and its `onError`, `logger`, `monitoring`, `context`, `clock`, `schemas`, `migrations`, `subjects`,
 * `limits`, `log`, `restart` and `maxWaiting` unless they are given here. Later changes of the parent's grants hold in a branch in memory too,
 * until its own are changed; a branch in a directory keeps those that the parent had. It does not inherit mirror, broadcast and backup, so that an experiment in a
 * branch stays in it.
 */
export interface ForkOptions extends Omit<OpenOptions, 'primaryCache' | 'restoreFrom' | 'cluster'> {
  /** The position or instant that the branch starts from. Default: the present. */
  readonly at?: number | Date | undefined;
  /**
   * A new directory for the branch. The state at that position is copied into it, which takes as long as writing it. The
   * branch is then durable and independent of its parent. Default: none. The branch is in memory, takes no time to
   * create, and reads from its parent what it has not changed.
   */
  readonly dataDir?: string | undefined;
  /** Stops copying into a directory. */
  readonly signal?: AbortSignal | undefined;
}

const { primaryCache: _primary, restoreFrom: _restore, cluster: _cluster, ...BRANCH_NAMES } = OPEN_NAMES;

const FORK_OPTIONS = optionNames<ForkOptions>('fork', { ...BRANCH_NAMES, at: true, signal: true });

/** Options that a branch has from its parent unless it is given its own. */
const INHERITED = [
  ...(['onError', 'logger', 'monitoring', 'clock', 'schemas', 'migrations', 'limits', 'log', 'restart'] as const),
  ...(['context', 'maxWaiting', 'internals', 'subjects'] as const),
] as const;

/** The options and the storage of a branch. */
interface Branch {
  readonly options: EngineOptions;
  readonly storage: Storage;
}

/** Creates the storage of a branch, for its parent's `fork`. */
export async function makeBranch(parent: Internals, history: History, given: ForkOptions): Promise<Branch> {
  const { access } = parent.parts;
  const options: EngineOptions = {
    ...optionsOfBranch(parent.options, given),
    ...(given.dataDir === undefined
      ? { parentAccess: access }
      : { grants: given.grants ?? (access.isOn ? access.list : undefined) }),
  };
  FORK_OPTIONS.check(given);
  given.signal?.throwIfAborted();
  const view = history.begin(given.at);
  if (options.dataDir === undefined) return { options, storage: await inMemory(parent, view, options) };
  try {
    await fillDirectory(parent.parts.log, view, options, given.signal);
  } finally {
    view.release?.();
  }
  return { options, storage: await openStorage(options) };
}

function optionsOfBranch(parent: EngineOptions, { at: _, signal: __, ...own }: ForkOptions): EngineOptions {
  const { primaryCache, restoreFrom } = own as OpenOptions;
  // The types exclude them for TypeScript callers only.
  if (primaryCache !== undefined || restoreFrom !== undefined) {
    const message =
      'A branch starts with the state of its parent. Leave out primaryCache and restoreFrom, which would replace it.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const options: Record<string, unknown> = { ...inMilliseconds(own) };
  for (const name of INHERITED) options[name] ??= parent[name];
  options.isBranch = true;
  return options;
}

/** Creates storage in memory without reading or copying anything. */
async function inMemory({ past, parts }: Internals, view: StateView, options: EngineOptions): Promise<Storage> {
  return branchStorage(options, { view, past, log: parts.log, madeAt: parts.clock.now() });
}

/** Copies the view into a new data directory. If the process ends early, the directory is complete or absent. */
async function fillDirectory(
  log: UpdateLog,
  view: StateView,
  { dataDir = '', clock = systemClock, sync }: EngineOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Loaded only here: a cache in memory needs no storage engine.
  const { StagedDirectory } = await import('../storage/disk/staged-directory.ts');
  const staged = await StagedDirectory.create(dataDir, { clock, sync });
  try {
    // The branch must not hold an update that the parent could still lose in a crash.
    await log.whenCommitted(view.position);
    await staged.directory.log.configStore.set(ORIGIN, ancestorsAt(view.position, view.lineage).map(plain));
    if (view.position > 0) {
      await staged.directory.adopt(statesOf(view, signal), view.position, log.remembered(view.position));
    }
    await staged.finish(signal);
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

function plain({ log, until }: Lineage[number]): JsonValue {
  return { log, until };
}

function* statesOf(view: StateView, signal: AbortSignal | undefined): Generator<NamespaceState> {
  // Lists all names first, because `names` is valid within one turn only and the copying takes several.
  for (const name of [...view.names()]) {
    signal?.throwIfAborted();
    const state = view.state(name);
    if (state !== undefined) yield state;
  }
}
