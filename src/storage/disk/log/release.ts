import { join } from 'node:path';
import { baseName, basesIn } from '../base/base-file.ts';
import { corrupt, unwritable } from '../corrupt.ts';
import { createWhole, type Files } from '../files.ts';
import { compressedName } from './compress-segment.ts';
import { encodeFrame, MAGIC, NOTE } from './frame.ts';
import { Remembering } from './remembering.ts';
import { segmentName } from './segment.ts';
import { readSegment } from './segment-file.ts';
import { scanSegment } from './segment-scan.ts';
import type { Segments } from './segments.ts';

/** A base file is written by itself only if files of at least this many bytes can be removed then, … */
const ENOUGH_BYTES = 16 * 1024 * 1024;
/** … and at least this part of the last base file. */
const ENOUGH_PART = 1 / 2;

/** The parts of a log that is released. */
interface ReleasedLog {
  readonly files: Files;
  readonly segments: Segments;
  /** Folder of log and base. */
  readonly path: string;
}

/** Resolves with whether a base file at `position` would free enough to pay for writing it. */
export async function isReleasable(
  { files, segments, path }: ReleasedLog,
  base: number,
  position: number,
): Promise<boolean> {
  let bytes = 0;
  for (const first of superfluous(segments.firsts, position)) {
    bytes += await files.size(join(segments.directory, segmentName(first)));
  }
  const last = base === 0 ? 0 : await files.size(join(path, 'base', baseName(base)));
  return bytes >= Math.max(ENOUGH_BYTES, ENOUGH_PART * last);
}

/**
 * Removes the files that only hold updates up to `position`, and the base files before the one there. `wholly`: also
 * the start of a file that holds later updates, by copying the rest. An interruption leaves nothing that the next opening
 * does not remove.
 *
 * @throws {ContextCacheError} `LOG_UNAVAILABLE`, `LOG_CORRUPT`.
 */
export async function releaseSegments(
  { files, segments, path }: ReleasedLog,
  position: number,
  wholly: boolean,
): Promise<void> {
  await segments.inTurn(() => release({ files, segments, path }, position, wholly));
}

async function release({ files, segments, path }: ReleasedLog, position: number, wholly: boolean): Promise<void> {
  try {
    if (wholly) await shorten(files, segments, position);
    const gone = superfluous(segments.firsts, position);
    segments.follow(segments.firsts.filter((first) => !gone.includes(first)));
    for (const first of gone) await files.remove(join(segments.directory, segmentName(first)));
    for (const each of await basesIn(files, join(path, 'base'))) {
      if (each < position) await files.remove(join(path, 'base', baseName(each)));
    }
  } catch (thrown) {
    throw unwritable(path, thrown);
  }
}

/**
 * Puts the compressed form of a file, which lies beside it and is synced, in its place. Removes it if the file was released
 * meanwhile.
 */
export async function exchangeSegment({ files, segments }: ReleasedLog, first: number): Promise<void> {
  const { directory } = segments;
  const compressed = join(directory, compressedName(first));
  await segments.inTurn(async () => {
    if (!segments.firsts.includes(first)) return files.remove(compressed);
    await files.rename(compressed, join(directory, segmentName(first)));
    segments.countExchanged();
    await files.syncDirectory(directory);
  });
}

/** Returns the files that end before the next position: the one behind them begins at or before it. */
function superfluous(firsts: readonly number[], position: number): number[] {
  return firsts.filter((_, index) => (firsts[index + 1] ?? Number.POSITIVE_INFINITY) <= position + 1);
}

/** Replaces the file that holds both released and later updates by one with the later frames. The last file stays. */
async function shorten(files: Files, segments: Segments, position: number): Promise<void> {
  const { directory, firsts } = segments;
  const index = firsts.findLastIndex((first) => first <= position);
  const [old, next] = [firsts[index], firsts[index + 1]];
  if (old === undefined || next === undefined || next <= position + 1) return;
  const path = join(directory, segmentName(old));
  const bytes = readSegment(files, path);
  const { heading, frames, head, end } = scanSegment(bytes, old, path);
  // Only the last file may end with a write that was cut off. Here it is damage, and a copy would leave out what follows it.
  if (head < next - 1) throw corrupt(`${path} is damaged at byte ${end}: it lacks position ${head + 1}`);
  const first = frames.find((frame) => frame.position + frame.count > position + 1);
  if (first === undefined || first.position === old) return;
  const { operations, floor, ...rest } = heading;
  const remembering = new Remembering({ operations, floor });
  for (const frame of frames) if (frame.position < first.position) remembering.add(frame);
  const encode = (shift: number) =>
    encodeFrame({ position: first.position - 1, flags: NOTE, synced: 0, count: 0 }, (to) =>
      to.value({ ...rest, ...remembering.stored(), shift }),
    );
  // The shift is part of the heading whose length it depends on; a number of five bytes keeps its length.
  const guess = encode(0x7fffffff);
  const shift = heading.shift + first.offset - MAGIC.length - guess.length;
  if (shift < 0x10000) return;
  const file = await createWhole(files, directory, segmentName(first.position), false, (created) =>
    created.write([MAGIC, encode(shift), bytes.subarray(first.offset, end)], 0),
  );
  await file.close();
  segments.follow([...firsts, first.position].sort((a, b) => a - b));
}
