import type { BatchOperation, ContextCommand } from '../../src/index.ts';
import { airlineLines } from '../support/airline.ts';
import { Random } from './support.ts';

/** Commands of the recorded runs between two snapshots. */
const SNAPSHOT_EVERY = 250;

/** The recorded agent runs, with a snapshot now and then. */
export function airlineCommands(): ContextCommand[] {
  return airlineLines().flatMap((line, index): ContextCommand[] => {
    const command = JSON.parse(line);
    return index % SNAPSHOT_EVERY === 0 ? [{ type: 'context.backup' }, command] : [command];
  });
}

const NAMESPACES = ['plans', 'a:b', '__proto__', 'default', 'short-lived', 'größer'];
/** Nothing expires here, so that the outcome of a condition does not depend on when a timer fires. */
const STEADY = 'steady';

/**
 * Makes `count` commands of every kind over several namespaces: small and large sets, conditions, deletes, touches,
 * batches, clears, drops, expiries, and now and then a snapshot or a passivation. The same seed gives the same
 * commands. One value in `largeOneIn` is large, so that the files of the storage fill up and are replaced.
 */
export function randomCommands(seed: number, count: number, largeOneIn = 60): ContextCommand[] {
  const random = new Sizes(seed, largeOneIn);
  return Array.from({ length: count }, (_, index) => anyCommand(random, index));
}

/** Random, and how often a value is large. */
class Sizes extends Random {
  readonly #largeOneIn: number;

  constructor(seed: number, largeOneIn: number) {
    super(seed);
    this.#largeOneIn = largeOneIn;
  }

  /** Returns the length of a value, in characters. */
  size(): number {
    return this.below(this.#largeOneIn) === 0 ? 20_000 + this.below(150_000) : this.below(300);
  }
}

function anyCommand(random: Sizes, index: number): ContextCommand {
  const roll = random.below(100);
  const namespace = random.pick(NAMESPACES);
  const agent = random.pick(['one', 'two', undefined]);
  const by = agent === undefined ? {} : { agent };
  if (roll < 12) return { type: 'context.set', namespace: STEADY, ...aSet(random, index), ifVersion: 0, ...by };
  if (roll < 55) return { type: 'context.set', namespace, ...aSet(random, index), ...aTtl(random), ...by };
  if (roll < 68) return { type: 'context.delete', namespace, key: aKey(random), ...by };
  if (roll < 74) return { type: 'context.touch', namespace, key: aKey(random), ttl: 50 + random.below(500), ...by };
  if (roll < 94) return { type: 'context.batch', namespace, operations: someSteps(random, index), ...by };
  if (roll < 96) return { type: 'context.clear', namespace: random.pick([...NAMESPACES, STEADY]), ...by };
  if (roll < 97) return { type: 'context.drop', namespace: random.pick([...NAMESPACES, STEADY]), ...by };
  if (roll < 98) return { type: 'context.backup' };
  return { type: 'namespace.passivate', namespace };
}

function someSteps(random: Sizes, index: number): BatchOperation[] {
  return Array.from({ length: 1 + random.below(12) }, (_, step): BatchOperation => {
    const roll = random.below(10);
    if (roll < 7) return { operation: 'set', ...aSet(random, index * 100 + step), ...aTtl(random) };
    if (roll < 9) return { operation: 'delete', key: aKey(random) };
    return { operation: 'touch', key: aKey(random), ttl: 100 + random.below(1_000) };
  });
}

function aKey(random: Random): string {
  return `k${random.below(60)}`;
}

function aTtl(random: Random): { ttl?: number } {
  return random.below(6) === 0 ? { ttl: 20 + random.below(600) } : {};
}

/** Names the command in every value. */
function aSet(random: Sizes, index: number): { key: string; value: { of: number; text: string; list: number[] } } {
  return { key: aKey(random), value: { of: index, text: 'ä'.padEnd(random.size(), 'x'), list: [index, -1] } };
}
