import type { TransactionResult } from '../core/command.ts';
import type { Request } from '../core/request.ts';
import type { JsonValue } from '../core/value.ts';
import type { BackupResult } from '../followers/backup/backup-manager.ts';
import type { StoredCluster } from '../followers/backup/snapshot-format.ts';
import type { Undelivered } from '../followers/followers.ts';

/** A member of a cluster. */
export interface ClusterMember {
  readonly node: string;
  readonly version: string;
  /** Highest protocol that it understands. */
  readonly maxProtocol: number;
  /** Milliseconds of the stream's time since its last message. */
  readonly silentMs: number;
  /** Number of messages that it had not applied when it sent its last message. */
  readonly lag: number;
}

/** Work that one node of a cluster does for all. */
export interface ClusterLease {
  readonly name: string;
  /** The node that holds the lease; `undefined`: it is free. */
  readonly node: string | undefined;
  /** Milliseconds of the stream's time that are left of it. */
  readonly leftMs: number;
  /** Position up to which the follower has delivered, as its holder has told; 0 if it has not. */
  readonly checkpoint: number;
}

/** The condition of a node and of its cluster. */
export interface ClusterHealth {
  /** `stalled`: this node can apply nothing at present. `failed`: it has left service; see `failure`. */
  readonly status: 'joining' | 'ready' | 'stalled' | 'failed' | 'closed';
  readonly node: string;
  /** `true` while a server is connected. */
  readonly connected: boolean;
  /** Sequence of the last message that this node has applied. */
  readonly sequence: number;
  /** Sequence of the newest message of the stream that this node knows of. */
  readonly head: number;
  /** Milliseconds since this node was known to be up to date; `Infinity` if it never was. */
  readonly stalenessMs: number;
  /** Commands of this node that wait for their outcome. */
  readonly waiting: number;
  /** The stream's time, epoch milliseconds. */
  readonly time: number;
  /** Hash of all decisions so far. Nodes that have applied the same sequence have the same hash. */
  readonly hash: number;
  /** The protocol of the cluster: the rules that all of its nodes follow. */
  readonly protocol: number;
  /** `true` if the servers sync each write before they acknowledge it (`sync_interval: always`); `undefined` if that is unknown. */
  readonly syncs: boolean | undefined;
  /** Number of servers that keep each message; `undefined` until the stream has answered. */
  readonly replicas: number | undefined;
  /** The nodes that have spoken within the last minute and were not shut down, this one included. */
  readonly members: readonly ClusterMember[];
  /** Which node does what only one node does (`mirror`, `broadcaster`, `backup`), and how far its follower has come. */
  readonly leases: readonly ClusterLease[];
  /** Why the node is stalled or has left service, or what keeps it from using the stream until settings or permissions are changed. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

/** What a node could not finish before it left its cluster. */
export interface LeftUndone {
  /** `true` if commands of callers waited for their outcome. Each was rejected. */
  readonly unfinishedCommands: boolean;
  /** The followers that this node ran and that have updates left, which the next holder of their lease delivers. */
  readonly undelivered: readonly Undelivered[];
}

/** Orders requests among the nodes of a cluster before they are executed. Without a cluster the supervisor executes them at once. */
export interface Sequencer {
  /** Sends a request, which is settled once it was ordered and executed here. */
  send(request: Request): void;
  /** Sends a transaction. Resolves once it was ordered and executed here. */
  transact(parts: readonly Request[]): Promise<TransactionResult>;
  /** Resolves once everything that was acknowledged anywhere before this call is visible here. */
  barrier(): Promise<void>;
  /** Milliseconds since this node was known to be up to date. */
  readonly stalenessMs: number;
  /** Calls the listener after each message that changed this node, or when it has left service. Returns a function that stops it. */
  onApplied(listener: () => void): () => void;
  /** Why the node has left service; `undefined`: it has not. */
  readonly failure: Error | undefined;
  /** Says why this node falls behind (its disk, a full queue inside, a permission, no connection); `undefined` if it knows no reason. */
  readonly reason: string | undefined;
  /** Changes a setting on all nodes; `null` removes it. Resolves once it is in force here. */
  configure(name: string, value: JsonValue): Promise<void>;
  /** Takes a snapshot on the node that holds the lease of the snapshots. Resolves with its description. */
  snapshot(signal: AbortSignal | undefined): Promise<BackupResult>;
  /**
   * Raises the protocol of the cluster. Resolves with the protocol that it has then. Default: the highest one that all members understand.
   *
   * @throws {ContextCacheError} (as a rejection) `FORMAT_UNSUPPORTED` if a member does not understand it; `INVALID_OPTION` if it is lower
   *   than the present one; `LOG_UNAVAILABLE` while another node raises it, or if the stream was silent within the last minute.
   */
  raise(protocol: number | undefined): Promise<number>;
  health(): ClusterHealth;
  /**
   * Returns the state of the cluster beside its data, for a snapshot.
   *
   * @throws {ContextCacheError} `LOG_UNAVAILABLE` while the node cannot apply a message that it has begun.
   */
  stored(): StoredCluster;
  /** Waits at most this long for the outcomes of commands and for the followers, then leaves the cluster. */
  close(timeoutMs: number): Promise<LeftUndone>;
}
