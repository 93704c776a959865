import type { Followers } from '../actors/followers.ts';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { Checkpointer } from '../log/checkpointer.ts';
import { LevelLog } from '../log/level-log.ts';
import { StateTable } from '../log/state-table.ts';
import { FOLLOWER, type Storage } from './composition.ts';
import type { OpenOptions } from './options.ts';

/** The state table is written at most this often while little changes. */
const CHECKPOINT_LINGER_MS = 500;

/** What a data directory gives. */
export interface Opened {
  readonly storage: Storage;
  /** Lets the state table follow the log. */
  readonly startCheckpointer: (followers: Followers) => void;
}

/** Opens the log and the state table of a data directory. */
export async function openDurable(options: OpenOptions): Promise<Opened> {
  const { dataDir, clock = systemClock, sync } = options;
  if (typeof dataDir !== 'string' || dataDir === '')
    throw new ContextCacheError('INVALID_OPTION', 'dataDir must be a path.');
  const log = await LevelLog.open({ ...options.log, dataDir, clock, sync });
  try {
    const table = await StateTable.open(log, { clock, keepValues: options.primaryCache === undefined });
    return {
      storage: {
        log,
        config: log.configStore,
        source: table,
        adopt: async (namespaces, position) => {
          await table.adopt(namespaces, position);
          await log.beginAfter(position);
        },
      },
      startCheckpointer: (followers) => {
        followers.add({ name: FOLLOWER.checkpointer, sink: new Checkpointer(table), lingerMs: CHECKPOINT_LINGER_MS });
      },
    };
  } catch (error) {
    await log.close();
    throw error;
  }
}
