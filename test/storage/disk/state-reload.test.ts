import { describe, expect, it } from 'vitest';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import { StateTable } from '../../../src/storage/disk/state/state-table.ts';
import { FaultStorage } from '../../support/fault-storage.ts';
import { Cache } from '../../support/log.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { eventually } from '../../support/waiting.ts';

describe('a table reloaded after a batch of unknown outcome', () => {
  it('shows readers the state before or after it, or refuses to read, never a mixture', async () => {
    const storage = new FaultStorage();
    const clock = new ManualClock();
    const log = await LevelLog.open({ dataDir: await tempDir('state'), clock, openStorage: storage.open });
    const table = await StateTable.open(log);
    const cache = new Cache();
    const step = { namespace: 'a', key: 'k', expiresAt: null, kind: 'set' as const };
    const first = cache.takeAll([{ ...step, value: 1 }]);
    log.append(first);
    await log.flush();
    await table.applyUpdates(first, log.head);
    const more = cache.takeAll([{ ...step, value: 2 }]);
    log.append(more);
    await log.flush();
    storage.decide = () => {
      storage.decide = () => 'done';
      return 'unknown';
    };
    await expect(table.applyUpdates(more, log.head)).rejects.toThrow(
      expect.objectContaining({ code: 'OUTCOME_UNKNOWN' }),
    );
    const seen: unknown[] = [];
    const look = () => {
      seen.push([table.checkpoint, table.summary('a')?.position, table.past.last('a')]);
      try {
        seen.push(table.hydrate('a')?.entries.get('k')?.value === table.checkpoint);
      } catch (error) {
        seen.push((error as { code?: string }).code);
      }
    };
    storage.beforeEntry = async () => look();
    await eventually(() => {
      clock.advance(5000);
      expect(log.status).toBe('ready');
    });
    look();
    expect(new Set(seen.map(String))).toEqual(new Set(['1,1,1', 'LOG_UNAVAILABLE', '2,2,2', 'true']));
    await log.close();
  });
});
