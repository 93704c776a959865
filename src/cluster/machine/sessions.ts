import type { HelloCommand } from './commands.ts';

/** A session that has not spoken for this long, in the stream's time, is forgotten. */
export const SESSION_MS = 24 * 60 * 60 * 1000;

/** The counter of a session that is over. */
const OVER = Number.MAX_SAFE_INTEGER;

/** A run of a node, as the stream knows it. */
export interface Session {
  /** Number of its last message that was applied. */
  counter: number;
  /** The stream's time of that message. */
  at: number;
  /** Sequence up to which it had applied the stream when it sent that message. */
  seen: number;
  readonly node: string;
  readonly version: string;
  readonly minProtocol: number;
  readonly maxProtocol: number;
}

/** Fate of a message: it is applied, it was applied before, or one before it is missing. */
export type Turn = 'applied' | 'duplicate' | 'gap';

/** A session as it is stored in a snapshot. */
export type StoredSession = readonly [
  id: string,
  counter: number,
  at: number,
  seen: number,
  node: string,
  version: string,
  minProtocol: number,
  maxProtocol: number,
];

/**
 * Applies each message of a session once and in order: only the one after the last. A message that comes again is a
 * duplicate; one that comes too early is ignored, and its sender sends it again after those before it.
 */
export class Sessions {
  /** Least recently heard first. */
  readonly #sessions = new Map<string, Session>();
  /** Sessions that have changed since {@link takeChanges}. */
  #changed = new Set<string>();

  /** Returns what becomes of a message, and changes nothing. */
  turnOf(id: string, counter: number): Turn {
    const last = this.#sessions.get(id)?.counter ?? 0;
    if (counter <= last) return 'duplicate';
    return counter === last + 1 ? 'applied' : 'gap';
  }

  /** Counts a message that is applied. Its session has said hello, or the message does so. */
  count(id: string, counter: number, at: number, seen: number): void {
    const session = this.#sessions.get(id);
    if (session === undefined || session.counter === OVER) return;
    session.counter = counter;
    session.at = at;
    session.seen = seen;
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    this.#changed.add(id);
  }

  /** Starts a session, and ends its predecessor: nothing of that one that arrives later is applied. */
  hello(id: string, { node, version, minProtocol, maxProtocol, predecessor }: HelloCommand, at: number): void {
    const known = this.#sessions.get(id);
    const { counter = 0, seen = 0 } = known ?? {};
    this.#sessions.set(id, { counter, at, seen, node, version, minProtocol, maxProtocol });
    this.#changed.add(id);
    if (predecessor === null || predecessor === id) return;
    const before = this.#sessions.get(predecessor);
    this.#sessions.delete(predecessor);
    const ended = before ?? { node, version, minProtocol, maxProtocol, seen: 0 };
    this.#sessions.set(predecessor, { ...ended, counter: OVER, at });
    this.#changed.add(predecessor);
  }

  /** Ends a session: nothing of it that arrives later is applied. */
  leave(id: string): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) session.counter = OVER;
    this.#changed.add(id);
  }

  /** Returns whether a session has said hello. */
  has(id: string): boolean {
    return this.#sessions.has(id);
  }

  /** Returns the name of a session's node. */
  nodeOf(id: string): string | undefined {
    return this.#sessions.get(id)?.node;
  }

  /** Forgets the sessions that have not spoken for {@link SESSION_MS}. */
  forget(now: number): void {
    for (const [id, { at }] of this.#sessions) {
      if (at >= now - SESSION_MS) return;
      this.#sessions.delete(id);
      this.#changed.add(id);
    }
  }

  /** Yields the sessions that are not over and have spoken within `withinMs`. */
  *live(now: number, withinMs: number): Generator<readonly [string, Readonly<Session>]> {
    for (const [id, session] of this.#sessions) {
      if (session.counter !== OVER && session.at >= now - withinMs) yield [id, session];
    }
  }

  stored(): StoredSession[] {
    return Array.from(this.#sessions, ([id, session]) => storedSession(id, session));
  }

  /** Returns the sessions that have changed since the last call, `undefined` for each that was forgotten. */
  takeChanges(): (readonly [id: string, session: StoredSession | undefined])[] {
    const changed = Array.from(this.#changed, (id) => {
      const session = this.#sessions.get(id);
      return [id, session && storedSession(id, session)] as const;
    });
    this.#changed = new Set();
    return changed;
  }

  restore(stored: readonly StoredSession[]): void {
    this.#sessions.clear();
    for (const [id, counter, at, seen, node, version, minProtocol, maxProtocol] of stored) {
      this.#sessions.set(id, { counter, at, seen, node, version, minProtocol, maxProtocol });
      this.#changed.add(id);
    }
  }
}

function storedSession(id: string, session: Session): StoredSession {
  const { counter, at, seen, node, version, minProtocol, maxProtocol } = session;
  return [id, counter, at, seen, node, version, minProtocol, maxProtocol];
}
