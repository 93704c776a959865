import { createUpdate, type Operation, type Update } from '../../src/core/update.ts';
import type { JsonValue } from '../../src/core/value.ts';
import { BroadcasterSink, type BroadcasterSinkOptions } from '../../src/followers/broadcast/broadcaster-sink.ts';
import {
  ContextUpdateEventPusher,
  type ContextUpdateEventPusherOptions,
} from '../../src/followers/broadcast/event-pusher.ts';
import { ContextUpdateProcessor } from '../../src/followers/broadcast/public-message.ts';
import { TopicsListConfig } from '../../src/followers/broadcast/topics.ts';
import type { RawSubscription } from './nats-wire.ts';

export const LOG = 'log-7';

/** Creates an update with the given fields. Default: a `set` of `k` in `ns`. */
export function updateOf(fields: Partial<Update> = {}): Update {
  const value: JsonValue = fields.value === undefined ? null : fields.value;
  const operation: Operation = fields.operation ?? 'set';
  const update = createUpdate({
    namespace: 'ns',
    version: 1,
    operation,
    key: 'k',
    value,
    at: 1_700_000_000_000,
    bytes: 4,
  });
  return { ...update, position: 1, ...fields };
}

/** Creates updates at `from`…`to`, each a `set` whose value is its position. */
export function updatesFrom(from: number, to: number): Update[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const position = from + i;
    return updateOf({ position, version: position, key: `k${position}`, value: position });
  });
}

export interface Rig extends AsyncDisposable {
  readonly topics: TopicsListConfig;
  readonly pusher: ContextUpdateEventPusher;
  readonly sink: BroadcasterSink;
  readonly errors: Error[];
  deliver(updates: readonly Update[], signal?: AbortSignal): Promise<void>;
  connect(): Promise<unknown>;
}

/** Creates a sink with its parts, which disconnects on disposal. */
export function rig(
  topics: readonly string[],
  pusherOptions: ContextUpdateEventPusherOptions,
  options: Partial<BroadcasterSinkOptions> = {},
): Rig {
  const list = new TopicsListConfig(topics.map((topic) => ({ topic, since: 0 })));
  const pusher = new ContextUpdateEventPusher(pusherOptions);
  const processor = new ContextUpdateProcessor({ subjectId: null, log: LOG });
  const errors: Error[] = [];
  const sink = new BroadcasterSink({ topics: list, processor, pusher, onError: (e) => errors.push(e), ...options });
  const never = new AbortController().signal;
  return {
    topics: list,
    pusher,
    sink,
    errors,
    deliver: (updates, signal = never) => sink.deliver(updates, updates.at(-1)?.position ?? 0, signal),
    connect: () => sink.connect(0, never),
    [Symbol.asyncDispose]: () => sink.disconnect(),
  };
}

/** Returns the positions of the messages on one subject, in order of arrival. */
export function positionsOn(raw: RawSubscription, subject: string): number[] {
  return raw.messages
    .filter((m) => m.subject === subject)
    .map((m) => (JSON.parse(m.payload) as { position: number }).position);
}

/** Returns the messages without duplicates, as a receiver keeps them. */
export function firstSeen(positions: readonly number[]): number[] {
  let last = 0;
  return positions.filter((position) => {
    if (position <= last) return false;
    last = position;
    return true;
  });
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
