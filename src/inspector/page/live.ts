import { signal } from '@preact/signals';
import { type ClientMessage, LIVE_PROTOCOL, type ServerMessage, type Subscription } from '../live-protocol.ts';
import type { Meta } from '../protocol.ts';
import { get, RequestFailed } from './api.ts';
import { clock } from './clock.ts';
import { token } from './token.ts';

/** State of the connection. `locked`: without a valid token. `lost`: the page is reconnecting. */
export type Link = 'connecting' | 'open' | 'lost' | 'locked';

export const link = signal<Link>('connecting');
/** The server's description of itself, from the last connection. */
export const meta = signal<Meta | undefined>(undefined);
/** Number of connections so far. A view loads its data again when it changes. */
export const epoch = signal(0);

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 3_000;

type Listener = (message: ServerMessage) => void;

const subscriptions = new Map<string, { readonly what: Subscription; readonly listener: Listener }>();
let socket: WebSocket | undefined;
let failures = 0;
let lastId = 0;

/** Subscribes to a feed, and again after every reconnect. Returns a function that ends the subscription. */
export function subscribe<Feed extends Subscription['feed']>(
  what: Subscription & { readonly feed: Feed },
  listener: (message: Extract<ServerMessage, { readonly type: Feed }>) => void,
  onError: (message: string) => void = () => {},
): () => void {
  lastId += 1;
  const id = `${what.feed}.${lastId}`;
  const hear: Listener = (message) => {
    if (message.type === 'error') onError(message.message);
    else listener(message as Extract<ServerMessage, { readonly type: Feed }>);
  };
  subscriptions.set(id, { what, listener: hear });
  send({ type: 'subscribe', id, ...what });
  return () => {
    subscriptions.delete(id);
    send({ type: 'unsubscribe', id });
  };
}

function send(message: ClientMessage): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Connects, and after a failure tries again with growing pauses. */
export async function connect(): Promise<void> {
  const secret = token();
  if (secret === undefined) {
    link.value = 'locked';
    return;
  }
  try {
    meta.value = await get('GET /api/meta');
    open(secret);
  } catch (error) {
    if (error instanceof RequestFailed && error.code === 'UNAUTHORIZED') link.value = 'locked';
    else again();
  }
}

function open(secret: string): void {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const made = new WebSocket(`${scheme}://${location.host}/api/live`, [LIVE_PROTOCOL, `token.${secret}`]);
  socket = made;
  made.onopen = () => {
    failures = 0;
    link.value = 'open';
    epoch.value += 1;
    for (const [id, { what }] of subscriptions) send({ type: 'subscribe', id, ...what });
  };
  made.onmessage = ({ data }) => hear(JSON.parse(String(data)) as ServerMessage);
  made.onclose = () => {
    if (socket === made) again();
  };
}

function again(): void {
  socket = undefined;
  link.value = 'lost';
  // Not `backOffMs` of core: the page may import only types of core, so that its bundle contains no code of the cache.
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  failures += 1;
  clock.after(wait, () => void connect());
}

function hear(message: ServerMessage): void {
  if (message.type === 'hello' || message.id === null) return;
  subscriptions.get(message.id)?.listener(message);
}
