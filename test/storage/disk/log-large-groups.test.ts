import { describe, expect, it } from 'vitest';
import { type FaultFiles, isGroup } from '../../support/fault-files.ts';
import { degraded, mended, once, openFaulty, reopened } from '../../support/fault-log.ts';
import { someSets } from '../../support/log.ts';

/** Updates of a group that is written without waiting for the end of the turn: more than 512 KiB as the log estimates them. */
const MANY = 2_500;

/** Appends sets one by one, as many callers do, from a position on. */
function appendEach(log: Awaited<ReturnType<typeof openFaulty>>['log'], count: number, from: number): void {
  for (const update of someSets(count, from)) log.append([update]);
}

/** Records the groups that are written, as the numbers of bytes. */
function writesOf(files: FaultFiles): number[] {
  const writes: number[] = [];
  files.decide = (write) => {
    if (isGroup(write)) writes.push(write.bytes.length);
    return 'done';
  };
  return writes;
}

describe('a large group', () => {
  it('is being written before the turn that appends it ends, and a small one is not', async () => {
    const { files, log, committed } = await openFaulty();
    const writes = writesOf(files);
    appendEach(log, 200, 3);
    expect(writes).toHaveLength(0);
    appendEach(log, MANY, 203);
    expect(writes).toHaveLength(1);
    expect(committed).toEqual([1, 2]);
    await log.flush();
    expect(committed).toEqual(Array.from({ length: 202 + MANY }, (_, i) => i + 1));
    await log.close();
  });

  it('that has waited for a write is being written before the callers of that write go on', async () => {
    const { files, log, dataDir } = await openFaulty();
    const writes = writesOf(files);
    appendEach(log, MANY, 3);
    const first = log.whenCommitted(3);
    appendEach(log, MANY, 3 + MANY);
    expect(writes).toHaveLength(1);
    await first;
    expect(writes).toHaveLength(2);
    await log.flush();
    await log.close();
    expect(await reopened(dataDir)).toHaveLength(2 + 2 * MANY);
  });

  it('waits for the end of what is appended together, and takes a note that follows in the same turn', async () => {
    const { files, log, dataDir } = await openFaulty();
    const writes = writesOf(files);
    log.together(() => appendEach(log, MANY, 3));
    expect(writes).toHaveLength(0);
    log.noteWith({ cursor: 7 });
    await log.flush();
    expect(writes).toHaveLength(1);
    expect(log.configStore.get('cursor')).toBe(7);
    await log.close();
    expect(await reopened(dataDir)).toHaveLength(2 + MANY);
  });

  for (const fate of ['lost', 'torn', 'unknown'] as const) {
    it(`is in the log once, with what came after it, if its write fails (${fate})`, async () => {
      const { files, clock, log, committed, dataDir } = await openFaulty();
      once(files, fate);
      appendEach(log, MANY, 3);
      const first = log.whenCommitted(3);
      appendEach(log, MANY, 3 + MANY);
      const second = log.whenCommitted(2 + 2 * MANY);
      const unknown = expect.objectContaining({ code: 'OUTCOME_UNKNOWN' });
      await expect(first).rejects.toThrow(unknown);
      await expect(second).rejects.toThrow(unknown);
      await degraded(log);
      await mended(log, clock);
      const positions = Array.from({ length: 2 + 2 * MANY }, (_, i) => i + 1);
      expect(committed).toEqual(positions);
      await log.close();
      expect(files.reused).toEqual([]);
      expect(await reopened(dataDir)).toEqual(positions);
    });
  }

  it('gives way to a task that needs a pause between two writes', async () => {
    const { log } = await openFaulty({ sync: false });
    let rounds = 0;
    const stop = log.onCommit(() => {
      rounds += 1;
      if (rounds < 50) appendEach(log, MANY, log.head + 1);
    });
    appendEach(log, MANY, 3);
    appendEach(log, MANY, 3 + MANY);
    await log.sync();
    expect(rounds).toBeLessThan(10);
    stop();
    await log.close();
  });
});
