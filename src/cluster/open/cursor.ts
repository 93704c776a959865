import type { JsonValue } from '../../core/value.ts';
import type { ConfigStore } from '../../storage/config-store.ts';
import type { Machine, StoredMachine } from '../machine/machine.ts';
import type { StoredSession } from '../machine/sessions.ts';

/** How far a node with a data directory has applied the stream, and the state of the cluster there. */
export interface Cursor {
  readonly machine: StoredMachine;
  /** The session of the node that wrote it; `undefined` if it never had one. */
  readonly session: string | undefined;
}

/** Setting of the log that holds everything but the sessions. */
const SHARED = 'cluster';
/** Start of the name of a setting that holds a session; its id follows. */
const SESSION = 'cluster/';

/** Name of the setting with the ids of the streams that a stream continues, in a cluster and in the log of each of its nodes. */
export const CONTINUES = 'continues';

/** Name of the setting with replicas and size of the stream that a refounding creates, for an attempt after one that was interrupted. */
export const STREAM = 'stream';

/** Replicas and greatest size in bytes of a stream, as far as they are known. */
export interface StreamSize {
  readonly replicas?: number | undefined;
  readonly maxBytes?: number | undefined;
}

/** Returns what the last refounding gave the stream of a machine. */
export function sizeOfStream({ config }: StoredMachine): StreamSize | undefined {
  return new Map(config).get(STREAM) as StreamSize | undefined;
}

/** Returns the ids of the streams that the stream of a machine continues. */
export function continuedBy({ config }: StoredMachine): string[] | undefined {
  return new Map(config).get(CONTINUES) as string[] | undefined;
}

/** Reads the cursor from the settings of a log; `undefined` if the directory was never part of a cluster. */
export function cursorIn(settings: ConfigStore): Cursor | undefined {
  const shared = settings.get(SHARED);
  if (shared === undefined) return undefined;
  const { session, ...machine } = shared as unknown as Omit<StoredMachine, 'sessions'> & { session: string | null };
  const names = settings.list().filter((name) => name.startsWith(SESSION));
  const sessions = names.map((name) => settings.get(name) as unknown as StoredSession);
  // Least recently heard first.
  sessions.sort((a, b) => a[2] - b[2]);
  return { machine: { ...machine, sessions }, session: session ?? undefined };
}

/** Returns the settings that change with what the machine has applied since the last call. */
export function cursorChanges(machine: Machine, session: string | undefined): Record<string, JsonValue | null> {
  const changes: Record<string, JsonValue | null> = {
    [SHARED]: { ...machine.storedShared(), session: session ?? null } as unknown as JsonValue,
  };
  for (const [id, stored] of machine.sessions.takeChanges()) {
    changes[SESSION + id] = (stored as unknown as JsonValue | undefined) ?? null;
  }
  return changes;
}

/** Stores the cursor that a snapshot brings, before the data of the snapshot. Removes the sessions of an earlier cursor. */
export async function keepCursor(settings: ConfigStore, { sessions, ...shared }: StoredMachine): Promise<void> {
  const names = new Set(sessions.map(([id]) => SESSION + id));
  for (const name of settings.list()) if (name.startsWith(SESSION) && !names.has(name)) await settings.delete(name);
  await settings.set(SHARED, { ...shared, session: null } as unknown as JsonValue);
  for (const session of sessions) await settings.set(SESSION + session[0], session as unknown as JsonValue);
}
