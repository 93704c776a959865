import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import type { DiskLogOptions } from '../../src/storage/disk/log/disk-log-options.ts';
import { type Fate, FaultFiles, type FileCall, isGroup } from './fault-files.ts';
import { all, positions, someSets } from './log.ts';
import { ManualClock } from './manual-clock.ts';
import { tempDir } from './temp-dir.ts';
import { eventually } from './waiting.ts';

/** Opens a log on files that can fail, with two updates. */
export async function openFaulty(options: Partial<DiskLogOptions> = {}) {
  const files = new FaultFiles();
  const clock = new ManualClock();
  const dataDir = await tempDir('log');
  const log = await DiskLog.open({ dataDir, clock, files, ...options });
  const committed: number[] = [];
  const states: string[] = [];
  log.onCommit((updates) => committed.push(...positions(updates)));
  log.onStatus((status, cause) => states.push(cause === undefined ? status : `${status}: ${cause.message}`));
  log.append(someSets(2));
  await log.flush();
  return { files, clock, dataDir, log, committed, states };
}

/** The next write of frames has this fate; all later ones succeed. */
export function once(files: FaultFiles, fate: Fate, meanwhile = () => {}): void {
  files.decide = (write) => {
    if (!isGroup(write)) return 'done';
    files.decide = () => 'done';
    meanwhile();
    return fate;
  };
}

/** Calls of this kind fail from now on. */
export function refuse(files: FaultFiles, ...calls: readonly FileCall[]): void {
  files.refuse = (call) => calls.includes(call);
}

/** Resolves when a write has failed. */
export async function degraded(log: DiskLog): Promise<void> {
  await eventually(() => expect(log.status).toBe('degraded'));
}

/** Resolves when the log has recovered. */
export async function mended(log: DiskLog, clock: ManualClock): Promise<void> {
  await eventually(() => {
    clock.advance(5000);
    expect(log.status).toBe('ready');
  });
}

/** First positions of the log's files. */
export async function segmentsOf(dataDir: string): Promise<number[]> {
  return (await readdir(join(dataDir, 'db', 'log'))).sort().map((name) => Number.parseInt(name, 10));
}

/** Returns the positions that another opening of the directory reads. */
export async function reopened(dataDir: string): Promise<number[]> {
  const log = await DiskLog.open({ dataDir });
  try {
    return positions(await all(log.read(log.first)));
  } finally {
    await log.close();
  }
}
