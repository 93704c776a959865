import type { Operation } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { VerifyProgress } from '../verify/verify-findings.ts';
import type { UpdateFilter, UpdateRow } from './data-protocol.ts';
import type { Actor, ForeignActor, OverviewSample } from './protocol.ts';

/**
 * The WebSocket of the page: `new WebSocket('ws://HOST/api/live', ['context-cache-inspector', 'token.TOKEN'])`. The token
 * travels as a subprotocol because a page cannot set headers; the server selects the first one. Messages are JSON
 * texts. Nothing is measured or sent without a subscription.
 *
 * News comes in batches, 50 ms after the first of them. A page that reads too slowly gets no batches until it has caught
 * up, and then the newest rows; `sampledAway` counts the rest. Close codes: 1001 the inspector closes, 1008 a message
 * was not understood, 1013 the page was too slow for 30 s. Then reconnect with growing delays, read `GET /api/meta`,
 * and subscribe again; `GET /api/updates` has everything that came meanwhile.
 */
export const LIVE_PROTOCOL = 'context-cache-inspector';

/** A message of the page, which chooses the `id`. A subscription replaces an open one of the same id. */
export type ClientMessage =
  | ({ readonly type: 'subscribe'; readonly id: string } & Subscription)
  | { readonly type: 'unsubscribe'; readonly id: string };

/** A feed, with its parameters. */
export type Subscription =
  | { readonly feed: 'overview' }
  /** `limit`: most rows of a batch; default 100, at most 500. */
  | { readonly feed: 'updates'; readonly filter?: UpdateFilter; readonly limit?: number }
  /** Supervisor and followers. `GET /api/actors` lists namespaces by page. */
  | { readonly feed: 'actors' }
  /** One actor's transitions, as they happen. */
  | { readonly feed: 'actor'; readonly actor: string }
  | { readonly feed: 'verify' }
  | { readonly feed: 'foreign' };

/** A message of the server; `id` names the subscription. */
export type ServerMessage =
  | { readonly type: 'hello'; readonly logId: string; readonly position: number }
  | { readonly type: 'error'; readonly id: string | null; readonly code: string; readonly message: string }
  /** Once a second. `GET /api/overview` has the earlier samples. */
  | { readonly type: 'overview'; readonly id: string; readonly sample: OverviewSample }
  | UpdatesMessage
  /** Sent at once, then whenever one of them has changed. */
  | { readonly type: 'actors'; readonly id: string; readonly supervisor: Actor; readonly followers: readonly Actor[] }
  | ActorMessage
  | { readonly type: 'verify'; readonly id: string; readonly progress: VerifyProgress | null }
  | ForeignMessage;

/** The updates of one batch. */
export interface UpdatesMessage {
  readonly type: 'updates';
  readonly id: string;
  /** Newest first. */
  readonly rows: readonly UpdateRow[];
  /** All updates since the last batch that match the filter, by operation, `rows` included. */
  readonly counts: Readonly<Partial<Record<Operation, number>>>;
  /** Number of them that are not in `rows`. */
  readonly sampledAway: number;
  /** Position of the newest of them. */
  readonly position: number;
}

/** The news of one actor. The first message comes at once, without transitions. */
export interface ActorMessage {
  readonly type: 'actor';
  readonly id: string;
  /** `null` if the actor does not exist (any more). */
  readonly actor: Actor | null;
  /** Oldest first. */
  readonly transitions: readonly ActorTransition[];
  /** Events that did not change the state. */
  readonly stayed: number;
  /** Number of transitions left out. */
  readonly sampledAway: number;
}

/** A change of state. */
export interface ActorTransition {
  readonly at: number;
  /** Dotted paths of states. */
  readonly from: string;
  readonly to: string;
  /** Ids of the possible {@link import('./protocol.ts').MachineTransition}s; several if it is unknown which one it was. */
  readonly transitions: readonly string[];
}

/** News of actors of other programs. */
export interface ForeignMessage {
  readonly type: 'foreign';
  readonly id: string;
  /** New and changed actors. */
  readonly actors: readonly ForeignActor[];
  /** Oldest first. */
  readonly events: readonly ForeignEvent[];
  readonly sampledAway: number;
}

/** An event sent to an actor of another program. */
export interface ForeignEvent {
  readonly at: number;
  readonly actor: string;
  /** Id of the sender; `null` if it came from outside. */
  readonly source: string | null;
  readonly type: string;
  /** The event, redacted. */
  readonly event: JsonValue;
}
