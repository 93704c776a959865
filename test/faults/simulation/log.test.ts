import { crc32 } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FRAME_HEADER, frameAt, MAGIC } from '../../../src/storage/disk/log/frame.ts';
import { faultSeed, seeds, times } from '../support.ts';
import { liveLog } from './log-life.ts';
import type { FilesSabotage } from './sim-files.ts';

it('keeps the log through failing calls, kills and power cuts', async () => {
  const runs = seeds(100, 10_000);
  const sum = { updates: 0, cuts: 0, bases: 0, compressed: 0 };
  for (let i = 0; i < runs; i += 1) {
    const { updates, cuts, bases, compressed } = await liveLog(faultSeed() + i);
    sum.updates += updates;
    sum.cuts += cuts;
    sum.bases += bases;
    sum.compressed += compressed;
  }
  expect(sum.updates).toBeGreaterThan(50 * runs);
  expect(sum.cuts).toBeGreaterThan(2 * runs);
  expect(sum.bases).toBeGreaterThan(runs / 4);
  expect(sum.compressed).toBeGreaterThan(runs / 4);
});

afterEach(() => {
  vi.restoreAllMocks();
});

it('repeats a run for the same seed', async () => {
  // The lengths of compressed files depend on the id of the log.
  vi.spyOn(crypto, 'randomUUID').mockReturnValue('01234567-89ab-4cde-8f01-23456789abcd');
  for (let i = 0; i < times(5, 100); i += 1) {
    const seed = faultSeed() + i;
    const { trace } = await liveLog(seed);
    expect((await liveLog(seed)).trace, `seed ${seed}`).toBe(trace);
  }
});

describe('the life of a log finds', () => {
  it.each<[string, FilesSabotage, RegExp]>([
    [
      'files of the log that are reported as synced and are not',
      { lies: endsWith('.log') },
      /acknowledged|damaged|start/,
    ],
    [
      'compressed files that take the place of others before they are on disk',
      { lies: endsWith('.compressed') },
      /damaged|lacks|start/,
    ],
    ['names that are not synced', { forgetsNames: endsWith('/log') }, /acknowledged|lacks|gap|no file|starts at/],
    ['base files whose names are not synced', { forgetsNames: endsWith('/base') }, /lacks|starts at|gap|no base/],
    ['directories whose names are not synced', { forgetsNames: endsWith('/data') }, /acknowledged/],
    [
      'a tail that is not written again after a failed sync',
      { skipsRepeats: true },
      /acknowledged|damaged|gap|start|lacks/,
    ],
    ['checksums that are not checked', { reads: resealed }, /^(?!nothing)/],
    ['a changed value', { reads: changed }, /the update at|the base at/],
  ])('%s', async (_, sabotage, expected) => {
    expect(await found(sabotage)).toMatch(expected);
  });
});

/** Returns the first failure of a log on broken files. */
async function found(sabotage: FilesSabotage): Promise<string> {
  for (let i = 0; i < 200; i += 1) {
    const problem = await liveLog(faultSeed() + i, sabotage).then(
      () => undefined,
      (error: Error) => (error.cause as Error).message,
    );
    if (problem !== undefined) return problem;
  }
  return 'nothing';
}

function endsWith(end: string): (path: string) => boolean {
  return (path) => path.replace(/\.new$/, '').endsWith(end);
}

/** Gives the first damaged frame behind whole ones the checksum of what it holds. */
function resealed(path: string, bytes: Buffer, offset: number): void {
  if (offset !== 0 || !endsWith('.log')(path)) return;
  let index = MAGIC.length;
  for (let frame = frameAt(bytes, index); frame !== undefined; frame = frameAt(bytes, index)) index = frame.end;
  const length = index + FRAME_HEADER < bytes.length ? bytes.readUInt32LE(index + 4) : 0;
  const end = index + FRAME_HEADER + length;
  if (length > 0 && end <= bytes.length) bytes.writeUInt32LE(crc32(bytes.subarray(index + 4, end)), index);
}

/** Changes a byte of the last frame with updates, together with its checksum. */
function changed(path: string, bytes: Buffer, offset: number): void {
  if (offset !== 0 || !endsWith('.log')(path)) return;
  let index = MAGIC.length;
  let last: ReturnType<typeof frameAt>;
  for (let frame = frameAt(bytes, index); frame !== undefined; frame = frameAt(bytes, index)) {
    index = frame.end;
    if (frame.count > 0) last = frame;
  }
  const at = last?.payload.indexOf('made') ?? -1;
  if (last === undefined || at < 0) return;
  last.payload[at + 4] = (last.payload[at + 4] as number) === 1 ? 2 : 1;
  bytes.writeUInt32LE(crc32(bytes.subarray(last.offset + 4, last.end)), last.offset);
}
