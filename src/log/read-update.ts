import type { Update } from '../core/update.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** The update at a position of a log, once it is committed. */
export async function readUpdate(log: UpdateLog, position: number): Promise<Update | undefined> {
  await log.whenCommitted(position);
  for await (const [update] of log.read(position, position)) return update;
  return undefined;
}
