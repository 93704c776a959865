import type { Clock } from '../../core/clock.ts';
import { withDeadline } from '../../core/deadline.ts';

/** Milliseconds that a server's monitoring port may take to answer. */
const TIMEOUT_MS = 1_000;

/**
 * Asks the monitoring ports of the servers whether an acknowledged message is on disk. Returns `false` if a server does not sync every
 * write, `true` if `replicas` servers or more answered and all of them do, and `undefined` if too few answered.
 *
 * @param monitors addresses such as `http://host:8222`.
 */
export async function syncsAlways(
  monitors: readonly string[],
  replicas: number,
  clock: Clock,
): Promise<boolean | undefined> {
  const answers = await Promise.all(monitors.map((monitor) => ask(monitor, clock)));
  const known = new Map(answers.filter((answer) => answer !== undefined).map(({ server, always }) => [server, always]));
  if ([...known.values()].includes(false)) return false;
  return known.size >= replicas && known.size > 0 ? true : undefined;
}

interface Answer {
  readonly server: string;
  readonly always: boolean;
}

async function ask(monitor: string, clock: Clock): Promise<Answer | undefined> {
  try {
    const url = new URL('/jsz?config=1', monitor);
    const what = `The monitoring port ${monitor}`;
    const answer = await withDeadline((signal) => read(url, signal), { what, timeoutMs: TIMEOUT_MS, clock });
    const { server_id: server, config } = answer;
    if (typeof server !== 'string' || typeof config?.sync_interval !== 'number') return undefined;
    return { server, always: config.sync_always === true };
  } catch {
    // The port is closed, or something else listens on it.
    return undefined;
  }
}

interface Jsz {
  readonly server_id?: unknown;
  readonly config?: { readonly sync_interval?: unknown; readonly sync_always?: unknown };
}

async function read(url: URL, signal: AbortSignal): Promise<Jsz> {
  const response = await fetch(url, { signal, redirect: 'error' });
  return (await response.json()) as Jsz;
}
