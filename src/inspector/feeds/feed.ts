import type { ServerMessage } from '../live-protocol.ts';

/** The source of one subscription. It calls `changed` when it has news, until it is stopped. */
export interface Feed {
  /** Returns the message since the last call, or `undefined` if nothing changed. Called no faster than the page reads. */
  collect(): ServerMessage | undefined;
  stop(): void;
}

/** Starts a feed, which calls `changed` when there is something to collect. */
export type StartFeed = (id: string, changed: () => void) => Feed;
