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
  ContradictionDetail,
  DiffPage,
  EntryDetail,
  EntrySummary,
  EntryVersionDetail,
  NamespaceSummary,
  Paged,
  SearchPage,
  TraceDetail,
  TreePage,
  UpdateDetail,
  UpdatePage,
  ViewDetail,
} from './data-protocol.ts';

/**
 * The protocol between the inspector's server and its page: every JSON address here, their data in `data-protocol.ts`,
 * the messages of the WebSocket in `live-protocol.ts`. Types only, so that the page bundles nothing of the server.
 *
 * - **Token.** The printed address is `http://127.0.0.1:PORT/#token=TOKEN`. Browsers send a fragment nowhere. The page
 *   removes it from the address bar, keeps it in `sessionStorage` and sends it with each request as
 *   `Authorization: Bearer TOKEN`. There is no cookie, because browsers send cookies to every port of a host. Page,
 *   script and style hold no data and need no token.
 * - **Values.** Every value is redacted before it is sent. A hidden part is the string `[hidden 1a2b3c4d]`. The same
 *   hidden value at the same path has the same digits until the inspector ends, so that versions can be compared.
 *   `EditRequest` explains how to write it back.
 * - **Views.** `at`, `a` and `b` are a position (`120`) or an ISO time (`2026-01-31T12:00:00Z`). Without `at`: the
 *   present.
 * - **Pages.** Lists take `limit` (default 100, at most 500). Send the `next` of a page as `after` to get the following
 *   page; `next` is `null` on the last one.
 * - **Errors.** A status of 400 or more with an {@link ErrorAnswer}. `UNAUTHORIZED` (401): the token is missing, or
 *   belongs to another process. `FORBIDDEN` (403): wrong host or origin, or a change without `allowWrite`.
 */
export interface Addresses {
  /** Identity and permissions of this inspector. Read it first, and again after each reconnect. */
  'GET /api/meta': Meta;
  'GET /api/overview': Overview;
  /** The statecharts of the cache's own actors. They never change while the process runs. */
  'GET /api/machines': { readonly machines: readonly MachineGraph[] };
  /** For the namespaces: `q` (part of a name), `status`, `sort` (`name`, `load`, `keys`, `bytes`, `restarts`), `after`, `limit`. */
  'GET /api/actors': ActorList;
  /** The same namespaces as a tree: `prefix`, `separator`, `after`, `limit` (see `TreePage`). */
  'GET /api/actor-tree': TreePage<Actor>;
  /** `limit`: agents that wrote among the last 10,000 updates or since, and agents whose writes were refused. */
  'GET /api/agents': AgentsDetail;
  /** `id`: `supervisor`, `follower:NAME` or `namespace:NAME`. `NOT_FOUND` (404) if there is no such actor. */
  'GET /api/actor': Actor;
  /**
   * The log, newest first: the fields of `UpdateFilter`, `limit`, and either `before` (a position, or the `next` of the
   * previous page; default: the end) or `around` (a position: as many updates before it as after it).
   */
  'GET /api/updates': UpdatePage;
  /** `position`: one update with its whole value, and the version of the entry before it. */
  'GET /api/update': UpdateDetail;
  /** `prefix`, `separator` (default `:` or `/` or `.`, see `TreePage`), `q`, `at`, `after`, `limit`. */
  'GET /api/namespaces': TreePage<NamespaceSummary>;
  /** `namespace`, and the parameters of `/api/namespaces`. */
  'GET /api/keys': TreePage<EntrySummary>;
  /** `q` (in any case), `at`, `after`, `limit`: namespaces, keys and values that contain a text. */
  'GET /api/search': SearchPage;
  /** `namespace`, `key`, `at`. `NOT_FOUND` (404) if the key is missing. */
  'GET /api/entry': EntryDetail;
  /** `namespace`, `key`, `after`, `limit`: newest first. */
  'GET /api/history': Paged<EntryVersionDetail>;
  /**
   * `namespace`, `key`, `limit` (for each direction): the writes behind the last write of an entry, and those that it has touched. The
   * first request reads the log once, as `provenance` does.
   */
  'GET /api/trace': TraceDetail;
  'GET /api/contradictions': Paged<ContradictionDetail>;
  /** Takes an `EditRequest`. Needs `allowWrite`. */
  'POST /api/set': Acknowledgement;
  /** Takes an `EditRequest` without its value. Needs `allowWrite`. */
  'POST /api/delete': Acknowledgement;
  /** `at`: its position and time, and the range that can be viewed. */
  'GET /api/view': ViewDetail;
  /** `points` (default 60, at most 200): times of positions spread over the viewable range, for the slider's scale. */
  'GET /api/timeline': { readonly points: readonly { readonly position: number; readonly at: number }[] };
  /**
   * `a`, `b`, `namespace` and `agent` (patterns; the agent of an entry is its last writer), `after`, `limit`: entries
   * added, changed and removed, sorted by namespace and key.
   */
  'GET /api/diff': DiffPage;
  /** `{ at }`: forks a branch in memory, with its own inspector that may write. */
  'POST /api/fork': Branch;
  'GET /api/health': HealthDetail;
  /** Takes a snapshot now. Needs `allowWrite`. */
  'POST /api/backup': SnapshotInfo;
  /** `{ against: 'nothing' | 'mirror' }`: answers after the verification; the feed `verify` reports its progress. */
  'POST /api/verify': VerifyReport;
  /** Actors of other programs, sent here by the WebSocket producer of `@statelyai/inspect`. */
  'GET /api/foreign': ForeignList;
}

/** The answer of every address that failed. */
export interface ErrorAnswer {
  readonly error: {
    /** A code of the cache's errors, or `UNAUTHORIZED`, `FORBIDDEN`, `INTERNAL`. */
    readonly code: string;
    readonly message: string;
    /** With `VERSION_CONFLICT`: the current entry, redacted; `null` if the key is missing. */
    readonly current?: EntryDetail | null;
  };
}

/** Identity and permissions of an inspector. */
export interface Meta {
  /** Version of this package. */
  readonly version: string;
  /** Identifies the log. If it differs from before, another cache answers: reload everything. */
  readonly logId: string;
  readonly durable: boolean;
  /** The data directory; `null` in memory. */
  readonly dataDir: string | null;
  readonly pid: number;
  readonly node: string;
  /** When this inspector started, epoch milliseconds. */
  readonly startedAt: number;
  readonly now: number;
  /** True if this inspector may change entries and take snapshots. */
  readonly allowWrite: boolean;
  /** True if values are redacted. */
  readonly redacts: boolean;
  /** For a branch, the position at which it was forked; `null` otherwise. */
  readonly branchOf: number | null;
  /** Address with token for a producer of `@statelyai/inspect`: `createWebSocketInspector({ url })`. */
  readonly foreignUrl: string;
}

/** Measurements of one second. A gap in `at` means that no page was open, so nothing was measured. */
export interface OverviewSample {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly position: number;
  readonly updatesPerSecond: number;
  /** Milliseconds from the request of a write to its commit, rounded to 1; `null` if there was no write. */
  readonly commitP50Ms: number | null;
  readonly commitP99Ms: number | null;
  readonly namespaces: number;
  readonly resident: number;
  /** `null` until counted. */
  readonly keys: number | null;
  readonly bytes: number | null;
  readonly restarts: number;
  /** Writes refused since the cache started because their `ifVersion` did not hold. */
  readonly conflicts: number;
  /** Updates still to be delivered, by follower name. */
  readonly lag: Readonly<Record<string, number>>;
  readonly heapBytes: number;
  /** Longest delay of the event loop, milliseconds. */
  readonly loopMs: number;
}

export interface Overview {
  readonly status: CacheHealth['status'];
  readonly log: CacheHealth['log'];
  readonly namespaces: { readonly total: number; readonly resident: number; readonly failed: number };
  /** Keys of all namespaces, and the estimated bytes of their values; `null` until counted. */
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
  /** The last second; `null` before the first sample. */
  readonly now: OverviewSample | null;
  /** Samples of the last ten minutes in which a page was open; oldest first. */
  readonly samples: readonly OverviewSample[];
}

/** A statechart as flat lists, ready for layout. Foreign actors bring theirs as a definition. */
export interface MachineGraph {
  /** `supervisor`, `namespace` or `follower`; a foreign actor has its own. */
  readonly id: string;
  readonly states: readonly MachineState[];
  readonly transitions: readonly MachineTransition[];
}

export interface MachineState {
  /** Dotted path: `ready`, `connected.idle`. `''` is the root, listed only if it has transitions of its own. */
  readonly id: string;
  /** The last part of the path. */
  readonly label: string;
  /** Path of the enclosing state; `null` at the top. */
  readonly parent: string | null;
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history';
  /** True if it is the initial state of its parent. */
  readonly initial: boolean;
  readonly description: string | null;
  readonly entry: readonly string[];
  readonly exit: readonly string[];
  /** Actors that run while the machine is in this state. */
  readonly invokes: readonly string[];
}

export interface MachineTransition {
  /** Unique in its graph; `ActorTransition.transitions` refers to it. */
  readonly id: string;
  readonly source: string;
  /** `null` if the state stays the same. */
  readonly target: string | null;
  /** `context.*`, `connect done`, `connect failed`, `after backOff`; `''` for an eventless transition. */
  readonly event: string;
  readonly guard: string | null;
  readonly actions: readonly string[];
}

/** An actor of the cache. Ids: `supervisor`, `namespace:NAME`, `follower:NAME`. */
export interface Actor {
  readonly id: string;
  readonly kind: 'supervisor' | 'namespace' | 'follower';
  /** Id of its {@link MachineGraph}. */
  readonly machine: string;
  /** Its present state in that graph; `null` while it has no actor. */
  readonly state: string | null;
  /**
   * For a namespace: `resident` in memory, `passivated` out of memory, `restarting` after a crash, `failed` if it
   * crashed too often or cannot be read. For the others `resident`.
   */
  readonly status: 'resident' | 'passivated' | 'restarting' | 'failed';
  /** Crashes within its restart policy; for the supervisor all restarts; for a follower failures in a row. */
  readonly restarts: number;
  readonly lastError: string | null;
  /** Waiting commands; for a follower, waiting updates. */
  readonly waiting: number;
  /** Updates a second since the previous list; `null` in the first. */
  readonly load: number | null;
  /** `null` unless it is a namespace. */
  readonly namespace: NamespaceSummary | null;
  /** `null` unless it is a follower. */
  readonly follower: FollowerHealth | null;
}

/** The activity of an agent. */
export interface AgentActivity {
  /** `null` collects the writes without an agent. */
  readonly agent: string | null;
  /** Updates from `from` to `to` of {@link AgentsDetail}. */
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
  /** Sorted by last write, newest first. */
  readonly agents: readonly AgentActivity[];
  /** Agents by name, writes without an agent not counted. */
  readonly total: number;
  /** The range of positions that `updates` counts. */
  readonly from: number;
  readonly to: number;
  /** Refused writes of all agents; `recent` has the last 50, newest first. */
  readonly conflicts: { readonly count: number; readonly recent: readonly RefusedWrite[] };
}

export interface ActorList {
  readonly supervisor: Actor;
  readonly followers: readonly Actor[];
  /** `total` counts the namespaces that match `q` and `status`. */
  readonly namespaces: Paged<Actor> & {
    readonly total: number;
    readonly byStatus: Readonly<Record<Actor['status'], number>>;
  };
}

export interface Branch {
  /** Address of its own inspector, with its own token. It ends with this inspector. */
  readonly url: string;
  readonly position: number;
}

export interface HealthDetail {
  readonly health: CacheHealth;
  /** Checkpoint of the broadcaster; `null` if it does not run. */
  readonly lastPublished: number | null;
  /** Kind of the mirror that `verify` can compare with; `null` without one. */
  readonly mirror: string | null;
  /** Size of all files of the data directory; `null` in memory. */
  readonly diskBytes: number | null;
  readonly snapshots: StoredSnapshots;
  readonly backup: BackupStatus | null;
  /** Progress of the running verification, and the report of the last one. */
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

/** The report of a verification, and when it ended. */
export interface LastVerification extends VerifyReport {
  readonly at: number;
  readonly against: VerifyAgainst;
}

/** The copy that a verification compares the cache with, besides checking the cache itself. */
export type VerifyAgainst = 'nothing' | 'mirror';

/** An actor of another program. */
export interface ForeignActor {
  /** Number of its producer and its session id there: `1/x:0`. */
  readonly id: string;
  readonly name: string;
  readonly parent: string | null;
  /** `null` if it brought no readable definition. */
  readonly machine: MachineGraph | null;
  readonly status: string;
  /** Dotted paths of its present states. */
  readonly states: readonly string[];
  /** Redacted. */
  readonly context: JsonValue;
  /** Number of events so far. */
  readonly events: number;
}

export interface ForeignList {
  readonly actors: readonly ForeignActor[];
  /** Actors discarded beyond the limit of 1,000. */
  readonly dropped: number;
}
