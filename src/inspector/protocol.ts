import type { Acknowledgement } from '../core/command.ts';
import type { JsonValue } from '../core/value.ts';
import type { RefusedWrite } from '../engine/conflicts.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { FollowerHealth } from '../followers/follower.ts';
import type { VerifyProgress } from '../verify/verify-findings.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import type {
  DiffPage,
  EntryDetail,
  EntrySummary,
  EntryVersionDetail,
  NamespaceSummary,
  Paged,
  SearchPage,
  TreePage,
  UpdateDetail,
  UpdatePage,
  ViewDetail,
} from './data-protocol.ts';

/**
 * What the inspector's server and its page say to each other: every JSON address here (what is told of data in
 * `data-protocol.ts`), every message of the WebSocket in `live-protocol.ts`. Types only, so that the page takes nothing
 * of the server along.
 *
 * - **Token.** The printed address is `http://127.0.0.1:PORT/#token=TOKEN`. A fragment is not sent anywhere. The page
 *   takes it out of the address bar, keeps it in `sessionStorage` and sends it with each request:
 *   `Authorization: Bearer TOKEN`. No cookie: those are sent to every port of a host. Page, script and style hold
 *   no data and need no token.
 * - **Names and values.** Every value has been through `redact` before it is here. A hidden one is the string
 *   `[hidden 1a2b3c4d]`; the same hidden value at the same place has the same digits until the inspector ends, so that
 *   versions can be compared. See `EditRequest` for writing back.
 * - **Views.** `at`, `a` and `b` are a position (`120`) or an ISO time (`2026-01-31T12:00:00Z`). Without `at`: now.
 * - **Pages.** Lists have `limit` (default 100, at most 500) and go on with the `next` of the page before: send it as
 *   `after`. `next` is `null` at the end.
 * - **Errors.** Status 400 and up with an {@link ErrorAnswer}. `UNAUTHORIZED` (401): the token is missing or another
 *   process's. `FORBIDDEN` (403): host, origin, or a change without `allowWrite`.
 */
export interface Addresses {
  /** What this inspector is and may do; ask first, and again after each reconnect. */
  'GET /api/meta': Meta;
  'GET /api/overview': Overview;
  /** The statecharts of the cache's own actors, by machine. They never change while the process runs. */
  'GET /api/machines': { readonly machines: readonly MachineGraph[] };
  /** `q` (part of a name), `status`, `sort` (`name`, `load`, `keys`, `bytes`, `restarts`), `after`, `limit`: of namespaces. */
  'GET /api/actors': ActorList;
  /** The same namespaces as a tree: `prefix`, `separator`, `after`, `limit` (see `TreePage`). */
  'GET /api/actor-tree': TreePage<Actor>;
  /** `limit`: who has written in the last 10,000 updates and since, and whose writes were refused. */
  'GET /api/agents': AgentsDetail;
  /** `id`. */
  'GET /api/actor': Actor;
  /**
   * The log, newest first: `UpdateFilter`, `before` (a position, or the `next` of the page before; default: the
   * end), `limit`; or `around` (a position): as many before as after it.
   */
  'GET /api/updates': UpdatePage;
  /** `position`: one update with its whole value, and what the entry held before it. */
  'GET /api/update': UpdateDetail;
  /** `prefix`, `separator` (default `:` or `/` or `.`, see `TreePage`), `q`, `at`, `after`, `limit`. */
  'GET /api/namespaces': TreePage<NamespaceSummary>;
  /** `namespace`, and as for namespaces. */
  'GET /api/keys': TreePage<EntrySummary>;
  /** `q` (in any case), `at`, `after`, `limit`: namespaces, keys and values that contain a text. */
  'GET /api/search': SearchPage;
  /** `namespace`, `key`, `at`. `NOT_FOUND` (404) where there is none. */
  'GET /api/entry': EntryDetail;
  /** `namespace`, `key`, `after`, `limit`: newest first. */
  'GET /api/history': Paged<EntryVersionDetail>;
  /** An `EditRequest`. Needs `allowWrite`. */
  'POST /api/set': Acknowledgement;
  /** An `EditRequest` without its value. Needs `allowWrite`. */
  'POST /api/delete': Acknowledgement;
  /** `at`: which position it is, and what the log holds of the past. */
  'GET /api/view': ViewDetail;
  /** `points` (default 60, at most 200): when positions were, spread over what can be seen, for the
   * slider's scale. */
  'GET /api/timeline': { readonly points: readonly { readonly position: number; readonly at: number }[] };
  /**
   * `a`, `b`, `namespace` and `agent` (patterns; an entry's agent is the one that wrote it last), `after`, `limit`: what
   * was added, changed and removed, by namespace and key.
   */
  'GET /api/diff': DiffPage;
  /** `{ at }`: makes a branch in memory, with an inspector of its own in which everything may be changed. */
  'POST /api/fork': Branch;
  'GET /api/health': HealthDetail;
  /** Takes a snapshot now. Needs `allowWrite`. */
  'POST /api/backup': SnapshotInfo;
  /** `{ against: 'nothing' | 'mirror' }`; answers when it has ended; the feed `verify` tells how far it is. */
  'POST /api/verify': VerifyReport;
  /** Actors of other programs that send here with the WebSocket producer of `@statelyai/inspect`. */
  'GET /api/foreign': ForeignList;
}

/** What every address answers that could not do it. */
export interface ErrorAnswer {
  readonly error: {
    /** Of the cache's errors, or `UNAUTHORIZED`, `FORBIDDEN`, `INTERNAL`. */
    readonly code: string;
    readonly message: string;
    /** With `VERSION_CONFLICT`: the entry as it is (redacted); `null` where there is none. */
    readonly current?: EntryDetail | null;
  };
}

export interface Meta {
  /** Of this package. */
  readonly version: string;
  /** Another one than before: another cache answers now; begin anew. */
  readonly logId: string;
  readonly durable: boolean;
  /** The data directory, where there is one. */
  readonly dataDir: string | null;
  readonly pid: number;
  readonly node: string;
  /** When this inspector began, epoch milliseconds. */
  readonly startedAt: number;
  readonly now: number;
  /** Whether entries may be changed and snapshots taken. */
  readonly allowWrite: boolean;
  /** Whether anything is hidden. */
  readonly redacts: boolean;
  /** A branch: the position at which it left its parent. */
  readonly branchOf: number | null;
  /** Where a producer of `@statelyai/inspect` connects to, with the token: `createWebSocketInspector({ url })`. */
  readonly foreignUrl: string;
}

/** Numbers of one second. A gap in `at` is time in which nobody looked, and nothing was measured. */
export interface OverviewSample {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly position: number;
  readonly updatesPerSecond: number;
  /** Milliseconds from when a write was asked for until it was committed, exact to 1; `null`: there was none. */
  readonly commitP50Ms: number | null;
  readonly commitP99Ms: number | null;
  readonly namespaces: number;
  readonly resident: number;
  /** `null` until they have been counted. */
  readonly keys: number | null;
  readonly bytes: number | null;
  readonly restarts: number;
  /** Writes refused since the cache started because their `ifVersion` did not hold. */
  readonly conflicts: number;
  /** Updates still to be delivered, by follower. */
  readonly lag: Readonly<Record<string, number>>;
  readonly heapBytes: number;
  /** The longest that the event loop was held up, milliseconds. */
  readonly loopMs: number;
}

export interface Overview {
  readonly status: CacheHealth['status'];
  readonly log: CacheHealth['log'];
  readonly namespaces: { readonly total: number; readonly resident: number; readonly failed: number };
  /** Of all namespaces, and estimated bytes of their values; `null` until they have been counted. */
  readonly keys: number | null;
  readonly bytes: number | null;
  readonly restarts: number;
  readonly conflicts: number;
  readonly followers: readonly FollowerHealth[];
  readonly topics: readonly string[];
  readonly watchers: number;
  readonly errors: CacheHealth['errors'];
  readonly process: {
    readonly pid: number;
    readonly uptimeMs: number;
    readonly rssBytes: number;
    readonly heapBytes: number;
  };
  /** The last second; `null` while less has been seen. */
  readonly now: OverviewSample | null;
  /** The last ten minutes, as far as somebody looked; oldest first. */
  readonly samples: readonly OverviewSample[];
}

/** A statechart, flat, ready to be laid out. Also made of the definitions that foreign actors bring. */
export interface MachineGraph {
  /** `supervisor`, `namespace`, `follower`; of a foreign actor its own. */
  readonly id: string;
  readonly states: readonly MachineState[];
  readonly transitions: readonly MachineTransition[];
}

export interface MachineState {
  /** Dotted path: `ready`, `connected.idle`. `''` is the root, where it has transitions of its own. */
  readonly id: string;
  /** The last part of the path. */
  readonly label: string;
  /** Path of the state that this one is in; `null` at the top. */
  readonly parent: string | null;
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history';
  /** Whether it is the one its parent begins with. */
  readonly initial: boolean;
  readonly description: string | null;
  readonly entry: readonly string[];
  readonly exit: readonly string[];
  /** What runs while it is in this state. */
  readonly invokes: readonly string[];
}

export interface MachineTransition {
  /** Unique in its graph; {@link ActorTransition.transitions} names it. */
  readonly id: string;
  readonly source: string;
  /** `null`: it stays where it is. */
  readonly target: string | null;
  /** `context.*`, `connect done`, `connect failed`, `after backOff`; `''`: always. */
  readonly event: string;
  readonly guard: string | null;
  readonly actions: readonly string[];
}

/** An actor of the cache. Ids: `supervisor`, `namespace:NAME`, `follower:NAME`. */
export interface Actor {
  readonly id: string;
  readonly kind: 'supervisor' | 'namespace' | 'follower';
  /** The {@link MachineGraph} it runs on. */
  readonly machine: string;
  /** Its present state in that, lit; `null`: it has no actor just now. */
  readonly state: string | null;
  /**
   * Of a namespace: `resident` in memory, `passivated` out of it, `restarting` after a crash, `failed` given up. Of
   * others `resident`.
   */
  readonly status: 'resident' | 'passivated' | 'restarting' | 'failed';
  /** Crashes that count against its restart policy; of the supervisor all restarts; of a follower failures in a row. */
  readonly restarts: number;
  readonly lastError: string | null;
  /** Commands (of a follower: updates) that wait. */
  readonly waiting: number;
  /** Updates a second, since the look before; `null` at the first. */
  readonly load: number | null;
  /** Of a namespace. */
  readonly namespace: NamespaceSummary | null;
  /** Of a follower. */
  readonly follower: FollowerHealth | null;
}

/** What an agent has done. */
export interface AgentActivity {
  /** `null`: writes without an agent. */
  readonly agent: string | null;
  /** From `from` to `to` of {@link AgentsDetail}. */
  readonly updates: number;
  /** Writes refused since the cache started because their `ifVersion` did not hold. */
  readonly conflicts: number;
  readonly last: {
    readonly at: number;
    readonly position: number;
    readonly namespace: string;
    readonly key: string | null;
  } | null;
}

export interface AgentsDetail {
  /** The one that wrote last comes first. */
  readonly agents: readonly AgentActivity[];
  readonly total: number;
  /** Positions that `updates` counts. */
  readonly from: number;
  readonly to: number;
  /** Of all agents; `recent` has the last 50, newest first. */
  readonly conflicts: { readonly count: number; readonly recent: readonly RefusedWrite[] };
}

export interface ActorList {
  readonly supervisor: Actor;
  readonly followers: readonly Actor[];
  /** In `total` are all that `q` and `status` let through. */
  readonly namespaces: Paged<Actor> & {
    readonly total: number;
    readonly byStatus: Readonly<Record<Actor['status'], number>>;
  };
}

export interface Branch {
  /** Of its own inspector, with its own token; open it in a tab of its own. It ends with this inspector. */
  readonly url: string;
  readonly position: number;
}

export interface HealthDetail {
  readonly health: CacheHealth;
  /** Of the broadcaster; `null`: it is not running. */
  readonly lastPublished: number | null;
  /** Whether there is a mirror that `verify` can compare. */
  readonly mirror: string | null;
  /** All files of the data directory; `null` in memory. */
  readonly diskBytes: number | null;
  readonly snapshots: StoredSnapshots;
  readonly backup: BackupStatus | null;
  /** A verification that is under way, and the last one's report. */
  readonly verify: { readonly running: VerifyProgress | null; readonly last: LastVerification | null };
}

/** Stored snapshots. */
export type StoredSnapshots =
  /** The cache has no store for snapshots. */
  | { readonly state: 'none' }
  /** Newest first. */
  | { readonly state: 'listed'; readonly items: readonly SnapshotInfo[] }
  /** The store cannot be read now, for example because Redis is down. `code` is that of the cache's error. */
  | { readonly state: 'unavailable'; readonly code: string; readonly reason: string };

/** When a verification ended, and what it found. */
export interface LastVerification extends VerifyReport {
  readonly at: number;
  readonly against: VerifyAgainst;
}

/** What a verification compares the cache with, besides looking at it by itself. */
export type VerifyAgainst = 'nothing' | 'mirror';

/** An actor of another program. */
export interface ForeignActor {
  /** Its session id there, unique by what sends it: `1/x:0`. */
  readonly id: string;
  readonly name: string;
  readonly parent: string | null;
  /** `null` where it brought no definition that can be read. */
  readonly machine: MachineGraph | null;
  readonly status: string;
  /** Dotted paths of the states it is in. */
  readonly states: readonly string[];
  /** Redacted. */
  readonly context: JsonValue;
  /** Events so far. */
  readonly events: number;
}

export interface ForeignList {
  readonly actors: readonly ForeignActor[];
  /** Actors that were let go of, because there were more than 1,000. */
  readonly dropped: number;
}
