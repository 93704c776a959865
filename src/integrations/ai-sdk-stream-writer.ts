import { type ContextStore, type Duration, systemClock, toJsonValue } from '../index.ts';

/** Key of a stream's state. */
export const STATE = 'state';
/** Prefix of the keys of its text. */
export const CHUNK = 'chunk:';

/** The state of a stream, under {@link STATE}. */
export type State =
  | { readonly status: 'streaming' }
  | { readonly status: 'done' | 'failed'; readonly characters: number; readonly error?: string };

/** A piece of a stream's text. */
export interface Chunk {
  /** Number of characters before this text. */
  readonly at: number;
  readonly text: string;
}

/** Reads a stream to its end and appends its text. What arrives during a write goes into the next one. */
export async function write(
  cache: ContextStore,
  namespace: string,
  make: () => ReadableStream<string>,
  { ttl, abandonedAfterMs }: { readonly ttl: Duration; readonly abandonedAfterMs: number },
): Promise<void> {
  let characters = 0;
  let waiting = '';
  let writing: Promise<void> | undefined;
  const flush = async () => {
    while (waiting !== '') {
      const text = waiting;
      waiting = '';
      await cache.append({ at: characters, text: toJsonValue(text) }, namespace, { prefix: CHUNK, ttl });
      characters += text.length;
    }
    writing = undefined;
  };
  const beat = () => {
    timer = systemClock.setTimeout(beat, abandonedAfterMs / 3);
    cache.touch(STATE, namespace, { ttl: abandonedAfterMs, ifPresent: true }).catch(() => {});
  };
  let timer = systemClock.setTimeout(beat, abandonedAfterMs / 3);
  try {
    for await (const text of make()) {
      // Nothing to write would end before it is noted as begun.
      if (text === '') continue;
      waiting += text;
      writing ??= flush();
      writing.catch(() => {});
    }
    await writing;
    await cache.set(STATE, { status: 'done', characters }, namespace, { ttl });
  } catch (error) {
    // What has arrived is written first, and counted.
    await writing?.catch(() => {});
    const message = error instanceof Error ? error.message : String(error);
    const failed = { status: 'failed', characters, error: toJsonValue(message) } as const;
    // If the cache has failed itself, the state expires, and readers learn that the stream was abandoned.
    await cache.set(STATE, failed, namespace, { ttl }).catch(() => {});
  } finally {
    systemClock.clearTimeout(timer);
  }
}
