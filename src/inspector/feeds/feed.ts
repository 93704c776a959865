import type { ServerMessage } from '../live-protocol.ts';

/** What one subscription listens to, until it is stopped. It tells its connection when there is something to tell. */
export interface Feed {
  /** What there is to tell since the last time; `undefined`: nothing. Asked for no more often than the page can read. */
  collect(): ServerMessage | undefined;
  stop(): void;
}

/** Begins a feed. `changed`: there is something to collect. */
export type StartFeed = (id: string, changed: () => void) => Feed;
