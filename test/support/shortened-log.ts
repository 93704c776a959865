import { createUpdate } from '../../src/core/update.ts';
import type { Files } from '../../src/storage/disk/files.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { type Frame, frameAt } from '../../src/storage/disk/log/frame.ts';
import { retain } from './log-truth.ts';

/** Returns updates with these positions and large values, of one key each. */
export function largeSets(count: number, first = 1) {
  return Array.from({ length: count }, (_, index) => {
    const position = first + index;
    const value = `${position}`.padEnd(20_000, '.');
    const set = { namespace: 'n', operation: 'set', at: 1000 + position, value, bytes: value.length } as const;
    return createUpdate({ ...set, version: position, key: `k${position}` });
  });
}

/**
 * Creates a closed log of 40 updates, whose base file holds 10 and whose last file was shortened: the empty file behind it was
 * lost. Resolves with its path.
 */
export async function shortened(files: Files, dataDir: string): Promise<string> {
  const log = await DiskLog.open({ dataDir, files });
  const updates = largeSets(40);
  for (const update of updates) {
    log.append([update]);
    await log.flush();
  }
  await retain(files, log, updates, 10, true);
  const [first = 0, empty = 0] = log.names().firsts;
  await log.close();
  await files.remove(`${log.path}/log/${String(empty).padStart(16, '0')}.log`);
  return `${log.path}/log/${String(first).padStart(16, '0')}.log`;
}

/** Returns a copy of a file of the log with a bit flipped in the frame that starts with a position, and the frame's offset. */
export function damagedAt(bytes: Buffer, position: number): { readonly bytes: Buffer; readonly offset: number } {
  const damaged = Buffer.from(bytes);
  let frame = frameAt(bytes, 16) as Frame;
  while (frame.position !== position || frame.count === 0) frame = frameAt(bytes, frame.end) as Frame;
  damaged[frame.offset + 100] = (damaged[frame.offset + 100] as number) ^ 1;
  return { bytes: damaged, offset: frame.offset };
}
