import { stat } from 'node:fs/promises';
import { ContextCacheError } from '../core/errors.ts';
import type { RecordSource, ReplayIterable, ReplaySource, SourceSettings, StreamSource } from './source.ts';
import { openStreamSource } from './stream-source.ts';
import { fileSource, iterableSource } from './text-source.ts';

/**
 * Opens a source of any kind.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if it is not a source, `NOT_FOUND` for a path that cannot be read, and
 *   what opening the source throws.
 */
export async function openSource(source: ReplaySource, settings: SourceSettings): Promise<RecordSource> {
  if (typeof source === 'string') return openPath(source, settings);
  if (typeof source === 'object' && source !== null) {
    if (source instanceof Uint8Array) return iterableSource([source], settings);
    if (!isIterable(source)) return openStreamSource(source as StreamSource, settings);
    return iterableSource(source, settings);
  }
  const message = 'A replay reads a path, an iterable of lines or updates, or { natsUrl, stream }.';
  throw new ContextCacheError('INVALID_OPTION', message);
}

function isIterable(source: object): source is ReplayIterable {
  return Symbol.asyncIterator in source || Symbol.iterator in source;
}

async function openPath(path: string, settings: SourceSettings): Promise<RecordSource> {
  const found = await stat(path).catch((cause) => {
    const message = `${path} cannot be read (${cause.code}). Name an exported log, a capture or a data directory.`;
    throw new ContextCacheError('NOT_FOUND', message, { cause });
  });
  if (!found.isDirectory()) return fileSource(path, found.size, settings);
  return (await import('./directory-source.ts')).openDirectorySource(path, settings);
}
