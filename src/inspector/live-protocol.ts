import type { Operation } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { VerifyProgress } from '../verify/verify-findings.ts';
import type { UpdateFilter, UpdateRow } from './data-protocol.ts';
import type { Actor, ForeignActor, OverviewSample } from './protocol.ts';

/**
 * The WebSocket of the page: `new WebSocket('ws://HOST/api/live', ['context-cache-inspector', 'token.TOKEN'])`. The token
 * comes as a subprotocol because a page can set no header; the server answers with the first one. Messages are JSON
 * texts. Nothing is measured, listened to or sent but what is subscribed to.
 *
 * Whatever is told comes in batches, 50 ms after the first thing that is to be told. A page that reads too slowly gets
 * no batches for a while, and then what is newest; `sampledAway` says what it did not get. Close codes: 1001 the
 * process ends, 1008 a message was not understood, 1013 the page was too slow for 30 s. Then connect again, waiting
 * longer each time, ask `GET /api/meta`, and subscribe again; `GET /api/updates` has what came meanwhile.
 */
export const LIVE_PROTOCOL = 'context-cache-inspector';

/** What the page sends. `id` is its own, unique among its open subscriptions; a second one of an id replaces the first. */
export type ClientMessage =
  | ({ readonly type: 'subscribe'; readonly id: string } & Subscription)
  | { readonly type: 'unsubscribe'; readonly id: string };

/** What can be subscribed to. */
export type Subscription =
  | { readonly feed: 'overview' }
  /** `limit`: rows of a batch; default 100, at most 500. */
  | { readonly feed: 'updates'; readonly filter?: UpdateFilter; readonly limit?: number }
  /** Supervisor and followers; namespaces are asked for by page. */
  | { readonly feed: 'actors' }
  /** One actor's transitions, as they happen. */
  | { readonly feed: 'actor'; readonly actor: string }
  | { readonly feed: 'verify' }
  | { readonly feed: 'foreign' };

/** What the server sends; `id` is that of the subscription. */
export type ServerMessage =
  | { readonly type: 'hello'; readonly logId: string; readonly position: number }
  | { readonly type: 'error'; readonly id: string | null; readonly code: string; readonly message: string }
  /** Once a second; the first one, as soon as there is one. `GET /api/overview` has those before. */
  | { readonly type: 'overview'; readonly id: string; readonly sample: OverviewSample }
  | UpdatesMessage
  /** The first at once, then when one of them has changed. */
  | { readonly type: 'actors'; readonly id: string; readonly supervisor: Actor; readonly followers: readonly Actor[] }
  | ActorMessage
  | { readonly type: 'verify'; readonly id: string; readonly progress: VerifyProgress | null }
  | ForeignMessage;

export interface UpdatesMessage {
  readonly type: 'updates';
  readonly id: string;
  /** Newest first. */
  readonly rows: readonly UpdateRow[];
  /** Updates that passed the filter since the last batch, by operation; those in `rows` are among them. */
  readonly counts: Readonly<Partial<Record<Operation, number>>>;
  /** How many of them are not in `rows`. */
  readonly sampledAway: number;
  /** Of the newest of them. */
  readonly position: number;
}

/** The first comes at once and has no transitions. */
export interface ActorMessage {
  readonly type: 'actor';
  readonly id: string;
  /** `null`: there is no such actor (any more). */
  readonly actor: Actor | null;
  /** Oldest first. */
  readonly transitions: readonly ActorTransition[];
  /** Events that the actor took without leaving its state. */
  readonly stayed: number;
  /** Transitions that are not told. */
  readonly sampledAway: number;
}

export interface ActorTransition {
  readonly at: number;
  /** Dotted paths of states. */
  readonly from: string;
  readonly to: string;
  /** Ids of the {@link import('./protocol.ts').MachineTransition}s that lead there; more than one where it is not known which. */
  readonly transitions: readonly string[];
}

export interface ForeignMessage {
  readonly type: 'foreign';
  readonly id: string;
  /** Actors that are new or have changed, as they are now. */
  readonly actors: readonly ForeignActor[];
  /** Oldest first. */
  readonly events: readonly ForeignEvent[];
  readonly sampledAway: number;
}

/** What was sent to an actor of another program. */
export interface ForeignEvent {
  readonly at: number;
  readonly actor: string;
  /** Who sent it; `null`: from outside. */
  readonly source: string | null;
  readonly type: string;
  /** The event, redacted. */
  readonly event: JsonValue;
}
