import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentContextCache, ContextCacheError, replay, systemClock } from '../index.ts';

/** A row of `context-cache bench`: operations per second. */
export interface Measured {
  readonly question: string;
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Options of {@link bench}. */
export interface BenchOptions {
  /** Directory on the disk to measure. A temporary one is created in it and removed. */
  readonly folder: string;
  /** Length of a round, milliseconds. */
  readonly roundMs: number;
  readonly onQuestion: (question: string) => void;
  readonly signal: AbortSignal;
}

/** Odd, so that one round is the median. */
const ROUNDS = 5;
const KEYS = Array.from({ length: 10_000 }, (_, index) => `key-${index}`);
const IN_FLIGHT = 256;
/** Operations between two reads of the clock. */
const STRIDE = 64;

const keyOf = (index: number) => KEYS[index % KEYS.length] ?? '';
const objectOf = (index: number) => ({ name: 'Ada', age: index, tags: ['one', 'two', 'three'] });

/** Executes some operations, starting with number `from`; returns how many. */
type Work = (from: number) => Promise<number>;

/**
 * Measures this machine for a few seconds with 10,000 keys and a small object each. Reads back what it wrote.
 *
 * @throws {ContextCacheError} `INVARIANT` if a value differs from what was written; the error of the file system if the
 *   temporary directory cannot be created.
 */
export async function bench(options: BenchOptions): Promise<Measured[]> {
  const folder = await mkdtemp(join(options.folder, '.context-cache-bench-'));
  try {
    const dataDir = join(folder, 'data');
    const measured = [...(await inMemory(options)), ...(await onDisk(options, dataDir))];
    return [...measured, await ofReplay(options, dataDir)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function inMemory(options: BenchOptions): Promise<Measured[]> {
  await using cache = new AgentContextCache({ natsUrl: null });
  const set = await measure(options, 'set, in memory, awaited', (from) => awaited(cache, from, STRIDE));
  for (const [index, key] of KEYS.entries()) await cache.set(key, objectOf(index));
  const get = await measure(options, 'get', async (from) => {
    for (let index = from; index < from + STRIDE; index += 1) mustBe(cache.get(keyOf(index)), index % KEYS.length);
    return STRIDE;
  });
  return [get, set];
}

async function onDisk(options: BenchOptions, dataDir: string): Promise<Measured[]> {
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
  return [
    await measure(options, 'set, on disk, one at a time', (from) => awaited(cache, from, 1)),
    await measure(options, `set, on disk, ${IN_FLIGHT} at a time`, (from) => together(cache, from)),
  ];
}

/** Awaits each write before the next. */
async function awaited(cache: AgentContextCache, from: number, count: number): Promise<number> {
  for (let index = from; index < from + count; index += 1) await cache.set(keyOf(index), objectOf(index));
  mustBe(cache.get(keyOf(from + count - 1)), from + count - 1);
  return count;
}

async function together(cache: AgentContextCache, from: number): Promise<number> {
  const indexes = Array.from({ length: IN_FLIGHT }, (_, offset) => from + offset);
  await Promise.all(indexes.map((index) => cache.set(keyOf(index), objectOf(index))));
  mustBe(cache.get(keyOf(from)), from);
  return IN_FLIGHT;
}

/** Replays the whole log that was written before, in each round into a new cache in memory. */
async function ofReplay({ onQuestion, signal }: BenchOptions, dataDir: string): Promise<Measured> {
  const question = 'replay, updates of a data directory';
  onQuestion(question);
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    signal.throwIfAborted();
    const startedAt = systemClock.now();
    const { cache, report } = await replay(dataDir, { natsUrl: null, log: { capacityUpdates: 1_024 } });
    rates.push(rateOf(report.updates, systemClock.now() - startedAt));
    if (cache.position !== report.position) throw wrong();
    await cache.shutdown();
  }
  return summary(question, rates);
}

async function measure({ roundMs, onQuestion, signal }: BenchOptions, question: string, work: Work): Promise<Measured> {
  onQuestion(question);
  const rates: number[] = [];
  let done = 0;
  // Round 0 is the warm-up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const before = done;
    const startedAt = systemClock.now();
    let elapsed = 0;
    while (elapsed < roundMs) {
      signal.throwIfAborted();
      done += await work(done);
      elapsed = systemClock.now() - startedAt;
    }
    if (round > 0) rates.push(rateOf(done - before, elapsed));
  }
  return summary(question, rates);
}

function rateOf(count: number, elapsedMs: number): number {
  const rate = (count / Math.max(1, elapsedMs)) * 1_000;
  // Three digits are enough for a slow machine.
  return rate < 100 ? Number(rate.toPrecision(3)) : Math.round(rate);
}

function summary(question: string, rates: readonly number[]): Measured {
  const sorted = rates.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? 0;
  return { question, median: at(sorted.length >> 1), least: at(0), most: at(sorted.length - 1) };
}

function mustBe(value: unknown, age: number): void {
  if ((value as { age?: unknown } | undefined)?.age !== age) throw wrong();
}

function wrong(): ContextCacheError {
  return new ContextCacheError('INVARIANT', 'A value differs from what was written. Please report it.');
}
