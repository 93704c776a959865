import { Readable } from 'node:stream';
import { MemorySnapshotStore, RedisSnapshotStore } from '../backup.ts';
import { AgentContextCache, type CacheOptions, type ContextCommand, memorySubjectKeys } from '../index.ts';
import { parseNatsAddress } from '../nats.ts';
import { parseLine, splitLines } from '../wire/lines.ts';

/** Bytes of refused commands that are held in memory; beyond them the directory is created all the same. */
const MOST_HELD_BYTES = 16 * 1024 * 1024;

/** Options that a new directory is opened with. */
interface Opening {
  readonly nats?: string | undefined;
  readonly redis?: string | undefined;
  readonly topics?: readonly string[] | undefined;
  readonly cache?: Pick<CacheOptions, 'subjectId' | 'log'>;
}

/**
 * Checks the options of a new directory on a cache in memory, so that a refused one leaves no directory.
 * Connects to nothing.
 *
 * @throws {ContextCacheError} as opening the directory would.
 */
export async function rehearseOpening({ nats, redis, topics, cache }: Opening): Promise<void> {
  if (nats !== undefined) parseNatsAddress(nats);
  // Connects at its first call only.
  if (redis !== undefined) await new RedisSnapshotStore({ url: redis }).close();
  await inMemory(cache, async (rehearsal) => {
    if (topics !== undefined) await rehearsal.setTopicsList(topics);
  });
}

/**
 * Executes a command on an empty cache in memory, before a directory is created for it. `hasKeys`: there is a file of subjects' keys.
 *
 * @throws {ContextCacheError} as the command would on a new directory.
 */
export async function rehearse(command: ContextCommand, hasKeys = false): Promise<void> {
  const subjects = hasKeys ? { keys: memorySubjectKeys() } : undefined;
  await inMemory({ subjects }, (rehearsal) => rehearsal.ask(command));
}

/** Result of {@link rehearseInput}. */
export interface RehearsedInput {
  /** Set if a command was refused before any was accepted. Then no directory must be created. */
  readonly isRefused: boolean;
  /** The whole input, including the part that was read. */
  readonly input: Readable;
}

/**
 * Reads commands, a line each, up to the first one that an empty cache accepts; or, without `keepGoing`, to the first one
 * that it refuses.
 */
export async function rehearseInput(input: Readable, keepGoing: boolean): Promise<RehearsedInput> {
  const chunks = input.iterator({ destroyOnReturn: false });
  const held: Buffer[] = [];
  let bytes = 0;
  async function* holding(): AsyncGenerator<Buffer> {
    for (;;) {
      const { value, done } = await chunks.next();
      if (done === true) return;
      held.push(value);
      bytes += value.length;
      yield value;
    }
  }
  let isRefused = false;
  await inMemory({}, async (rehearsal) => {
    for await (const lines of splitLines(holding())) {
      for (const line of lines) {
        const accepted = await accepts(rehearsal, () => parseLine(line));
        if (accepted === undefined) continue;
        isRefused = !accepted;
        if (accepted || !keepGoing) return;
      }
      if (bytes <= MOST_HELD_BYTES) continue;
      isRefused = false;
      return;
    }
  });
  async function* whole(): AsyncGenerator<Buffer> {
    yield* held.splice(0);
    for (;;) {
      const { value, done } = await chunks.next();
      if (done === true) return;
      yield value;
    }
  }
  return { isRefused, input: Readable.from(whole(), { objectMode: false, highWaterMark: 256 * 1024 }) };
}

/** Returns whether the cache accepts the command; `undefined` for a blank line. */
async function accepts(cache: AgentContextCache, commandOf: () => unknown): Promise<boolean | undefined> {
  try {
    const command = commandOf();
    if (command === undefined) return undefined;
    // `cache.verify` may connect to another system.
    if ((command as { type?: unknown } | null)?.type !== 'cache.verify') await cache.ask(command as ContextCommand);
    return true;
  } catch {
    return false;
  }
}

async function inMemory(
  options: Pick<CacheOptions, 'subjectId' | 'log' | 'subjects'> = {},
  task: (cache: AgentContextCache) => Promise<unknown>,
): Promise<void> {
  const backup = { enabled: false, store: new MemorySnapshotStore() };
  const cache = new AgentContextCache({ ...options, natsUrl: null, backup, onError: () => {} });
  try {
    await task(cache);
  } finally {
    await cache.shutdown({ timeoutMs: 0 });
  }
}
