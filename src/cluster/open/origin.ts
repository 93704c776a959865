import { ContextCacheError } from '../../core/errors.ts';
import type { EngineOptions } from '../../engine/options.ts';
import { clusterSnapshot } from '../../engine/restore.ts';
import type { ConfigStore } from '../../storage/config-store.ts';
import type { StreamInfo } from '../command-stream.ts';
import type { StoredMachine } from '../machine/machine.ts';
import { CONTINUES, continuedBy, cursorIn, keepCursor } from './cursor.ts';

type Begin = NonNullable<EngineOptions['begin']>;
type Snapshot = Awaited<ReturnType<Begin>>;

/**
 * The state that a node starts from: its own data directory at its cursor, or the newest whole snapshot that the stream continues,
 * or nothing if the stream has all of its messages.
 */
export class Origin {
  /** State of the cluster at that point; `undefined` at the start of the stream. */
  machine: StoredMachine | undefined;
  /** The session of this node before it was restarted. */
  session: string | undefined;
  readonly #info: StreamInfo;
  readonly #options: EngineOptions;
  readonly #sharesSnapshots: boolean;

  constructor(info: StreamInfo, options: EngineOptions, sharesSnapshots: boolean) {
    this.#info = info;
    this.#options = options;
    this.#sharesSnapshots = sharesSnapshots;
  }

  /**
   * Finds the state for a log. Returns the snapshot that the log must take in; `undefined` if it needs none.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` for a directory that belongs to something else; `LOG_CORRUPT` for one that does
   *   not fit the stream; `POSITION_UNAVAILABLE` if the stream has discarded messages that the node needs.
   */
  async find(log: Parameters<Begin>[0], settings: ConfigStore): Promise<Snapshot> {
    const { dataDir = '' } = this.#options;
    const cursor = cursorIn(settings);
    // An empty directory as well: its snapshots would have the id of its log, with which no node joins.
    if (log.id !== this.#info.epoch) throw cursor === undefined ? foreign(dataDir) : otherStream(dataDir);
    if (log.head === 0) return this.#newest(settings);
    if (cursor === undefined) throw foreign(dataDir);
    if (cursor.machine.position !== log.head) throw unfinished(dataDir, cursor.machine.position, log.head);
    const { sequence } = cursor.machine;
    if (this.#info.first > sequence + 1) throw outdated(dataDir, sequence, this.#info.first);
    this.machine = cursor.machine;
    this.session = cursor.session;
    return undefined;
  }

  async #newest(settings: ConfigStore): Promise<Snapshot> {
    const { first, last, epoch } = this.#info;
    const { store } = this.#options.backup ?? {};
    const fits = (log: string, { sequence }: { readonly sequence: number }) =>
      log === epoch && first <= sequence + 1 && last >= sequence;
    const shared = this.#sharesSnapshots ? store : undefined;
    const snapshot = shared && (await clusterSnapshot(shared, this.#options, fits));
    if (snapshot === undefined) {
      if (first > 1) throw purged(first, shared?.description);
      return undefined;
    }
    this.machine = snapshot.cluster as StoredMachine;
    const continues = continuedBy(this.machine);
    if (continues !== undefined) await settings.set(CONTINUES, continues);
    // Before the data: a directory that a crash leaves without data is empty and starts over.
    await keepCursor(settings, this.machine);
    return snapshot;
  }
}

const REMEDY = 'Remove the directory, or give another one, so that the node starts from a snapshot or from the stream.';

function foreign(dataDir: string): ContextCacheError {
  const message = `The directory ${dataDir} holds a cache that was never a node of a cluster, which would change this node alone.`;
  return new ContextCacheError(
    'INVALID_OPTION',
    `${message} Give an empty directory, and write the data to the cluster.`,
  );
}

function otherStream(dataDir: string): ContextCacheError {
  const message = `The directory ${dataDir} belongs to another stream than the one that exists: it was created again.`;
  return new ContextCacheError('LOG_CORRUPT', `${message} ${REMEDY}`);
}

function unfinished(dataDir: string, cursor: number, head: number): ContextCacheError {
  const message = `The log in ${dataDir} ends at position ${head}, and the node's cursor at ${cursor}: the node stopped in the middle of a message.`;
  return new ContextCacheError('LOG_CORRUPT', `${message} ${REMEDY}`);
}

function outdated(dataDir: string, sequence: number, first: number): ContextCacheError {
  const message = `The directory ${dataDir} is at message ${sequence}, and the stream starts at message ${first}: those between them were discarded.`;
  return new ContextCacheError('POSITION_UNAVAILABLE', `${message} ${REMEDY}`);
}

function purged(first: number, store: string | undefined): ContextCacheError {
  const where = store === undefined ? 'and no store of snapshots is given' : `and no snapshot in ${store} reaches it`;
  const remedy = 'Give cluster.snapshots as on the other nodes, or take a snapshot on one of them.';
  return new ContextCacheError(
    'POSITION_UNAVAILABLE',
    `The stream starts at message ${first}, because earlier ones were discarded, ${where}. ${remedy}`,
  );
}
