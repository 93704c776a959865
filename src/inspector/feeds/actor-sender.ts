import { WebSocket } from 'ws';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Redactor } from '../reads/redactor.ts';

/** Delay before reconnecting, milliseconds. */
const RETRY_MS = 5_000;
/** Unread bytes beyond which the receiver is sent nothing. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** Version of the protocol of `@statelyai/inspect`. */
const VERSION = '0.7.2';

/** The parts of an XState actor and of its inspection events that are sent. */
interface Ref {
  readonly sessionId: string;
  readonly id?: string;
  readonly logic?: { readonly config?: unknown };
  getSnapshot(): unknown;
}
interface InspectionEvent {
  readonly type: string;
  readonly actorRef: Ref;
  readonly rootId?: string;
  readonly sourceRef?: Ref;
  readonly event?: Readonly<Record<string, unknown>>;
  readonly snapshot?: unknown;
}

/**
 * Sends the activity of the cache's actors to a WebSocket receiver of `@statelyai/inspect`: its `createInspectorServer`,
 * or another inspector of this package. Sends states, and events with their names, namespaces, keys and redacted values.
 */
export class ActorSender {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #redactor: Redactor;
  readonly #parentOf: (actor: Ref) => Ref | undefined;
  readonly #stopInspecting: () => void;
  /** Actors introduced on this connection. */
  #introduced = new WeakSet<Ref>();
  #socket: WebSocket | undefined;
  #timer: unknown;
  #closed = false;

  /** @throws {ContextCacheError} `INVALID_OPTION` if `url` is not a `ws://` or `wss://` address. */
  constructor(cache: Inspectable, clock: Clock, redactor: Redactor, url: string) {
    if (!/^wss?:\/\/\S+$/.test(url)) {
      throw new ContextCacheError('INVALID_OPTION', 'sendTo must be a WebSocket address such as ws://127.0.0.1:8080.');
    }
    this.#url = url;
    this.#clock = clock;
    this.#redactor = redactor;
    this.#parentOf = (actor) => cache.inspection.parentOf(actor) as Ref | undefined;
    this.#stopInspecting = cache.inspection.inspectActors((event) => this.#take(event as InspectionEvent));
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#stopInspecting();
    this.#clock.clearTimeout(this.#timer);
    this.#socket?.terminate();
  }

  #connect(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#introduced = new WeakSet();
    // A close event follows every error and is handled below.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#closed) return;
      this.#timer = this.#clock.setTimeout(() => this.#connect(), RETRY_MS);
      this.#clock.unref?.(this.#timer);
    });
  }

  #take({ type, actorRef, sourceRef, rootId, event, snapshot }: InspectionEvent): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > MAX_WAITING_BYTES) return;
    this.#introduce(actorRef, rootId);
    const common = { ...this.#common(rootId), sessionId: actorRef.sessionId };
    if (type === '@xstate.event')
      this.#send({ ...common, type, event: this.#event(event), sourceId: sourceRef?.sessionId });
    if (type === '@xstate.snapshot') {
      this.#send({ ...common, type, event: this.#event(event), snapshot: stateOf(snapshot) });
    }
  }

  /** Introduces an actor, and its parents first, before its first event on this connection. */
  #introduce(actor: Ref, rootId: string | undefined): void {
    if (this.#introduced.has(actor)) return;
    this.#introduced.add(actor);
    const parent = this.#parentOf(actor);
    if (parent !== undefined) this.#introduce(parent, rootId);
    const config = actor.logic?.config;
    this.#send({
      ...this.#common(rootId),
      ...{ type: '@xstate.actor', sessionId: actor.sessionId, name: actor.id ?? actor.sessionId },
      ...{ parentId: parent?.sessionId, snapshot: stateOf(actor.getSnapshot()) },
      definition: config === undefined ? undefined : JSON.stringify(config, namedFunctions),
    });
  }

  #event(event: Readonly<Record<string, unknown>> = {}): unknown {
    const { type, namespace, key, value } = event;
    const sent = { type: String(type), ...(typeof namespace === 'string' ? { namespace } : {}) };
    if (typeof key !== 'string') return sent;
    const shown = this.#redactor.show(String(namespace ?? 'default'), key, JSON.parse(JSON.stringify(value ?? null)));
    return { ...sent, key, value: shown.value };
  }

  #common(rootId: string | undefined) {
    return { rootId, createdAt: String(this.#clock.now()), id: null, _version: VERSION };
  }

  #send(message: object): void {
    this.#socket?.send(JSON.stringify(message));
  }
}

/** Returns the state without its context: the context of a namespace is its data, which is not sent. */
function stateOf(snapshot: unknown): { status: unknown; value: unknown; context: object } {
  const { status, value } = (snapshot ?? {}) as { status?: unknown; value?: unknown };
  return { status: status ?? 'active', value, context: {} };
}

function namedFunctions(_: string, value: unknown): unknown {
  return typeof value === 'function' ? { type: value.name } : value;
}
