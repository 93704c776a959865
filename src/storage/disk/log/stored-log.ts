import { join } from 'node:path';
import { ContextCacheError } from '../../../core/errors.ts';
import type { Remembered } from '../../../core/remembered.ts';
import { basesIn, rememberedInBase } from '../base/base-file.ts';
import { type Files, readFile } from '../files.ts';
import type { LogFileNames } from './file-log.ts';
import { decodeNote } from './frame.ts';
import { isDamage, walkFrames } from './frame-walk.ts';
import type { Heading } from './notes.ts';
import { Remembering } from './remembering.ts';
import { segmentName } from './segment.ts';
import { checkFormat } from './segment-scan.ts';
import { Segments } from './segments.ts';

/** The log of a directory that is read without being opened. */
export interface StoredLog {
  readonly names: LogFileNames;
  /** Id of the log; `undefined` if it cannot be read. */
  readonly log: string | undefined;
}

/**
 * Resolves with the files that the log in a folder consists of, and with its id.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED`.
 */
export async function storedLog(files: Files, path: string): Promise<StoredLog> {
  const directory = join(path, 'log');
  const firsts = await Segments.list(files, directory);
  const base = (await basesIn(files, join(path, 'base'))).at(-1) ?? 0;
  let log: string | undefined;
  // The newest heading that can be read: each file has one.
  for (const first of firsts.toReversed()) {
    log ??= headingOf(files, join(directory, segmentName(first)))?.log;
    if (log !== undefined) break;
  }
  return { names: { base, firsts }, log };
}

/** Returns the note that a file of the log starts with; `undefined` if it is damaged. */
function headingOf(files: Files, file: string): Heading | undefined {
  for (const item of walkFrames(files, file)) {
    if (isDamage(item)) {
      if (item.offset > 0) return undefined;
      refuseForeign(files, file);
      continue;
    }
    try {
      return decodeNote(item, () => file) as unknown as Heading;
    } catch {
      // Reported when the log is read.
      return undefined;
    }
  }
  return undefined;
}

/** Returns what was remembered at the base. Leaves out what is damaged, which is reported when the log is read. */
export function rememberedAtBase(files: Files, path: string, { base, firsts }: LogFileNames): Remembered {
  const first = firsts.findLast((each) => each <= base + 1);
  let remembering: Remembering | undefined;
  try {
    const adopted = rememberedInBase(files, join(path, 'base'), base);
    if (adopted.operations !== undefined || adopted.floor !== undefined) return adopted;
    for (const item of first === undefined ? [] : walkFrames(files, join(path, 'log', segmentName(first)))) {
      if (isDamage(item) || (item.count > 0 && item.position > base)) break;
      if (remembering !== undefined) remembering.add(item, base);
      else remembering = new Remembering(decodeNote(item, () => path) as unknown as Heading);
    }
  } catch (error) {
    if (!(error instanceof ContextCacheError && error.code === 'LOG_CORRUPT')) throw error;
  }
  return remembering?.stored() ?? {};
}

function refuseForeign(files: Files, file: string): void {
  try {
    checkFormat(readFile(files, file), file);
  } catch (error) {
    if (error instanceof ContextCacheError && error.code === 'FORMAT_UNSUPPORTED') throw error;
  }
}
