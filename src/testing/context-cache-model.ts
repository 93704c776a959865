import assert from 'node:assert/strict';
import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { JsonValue } from '../core/value.ts';
import { AWKWARD_VALUES, sameValue } from './edge-cases.ts';

const NAMES = ['a', 'b', 'a:b', '%', '__proto__'];
const CALLS = 60;

type Model = Map<string, Map<string, JsonValue>>;

/**
 * Makes a random sequence of calls and compares every answer, and the final content, with plain maps. Leaves the cache empty.
 */
export async function compareWithModel(cache: BaseContextCache, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const model: Model = new Map();
  for (let call = 0; call < CALLS; call += 1) await step(cache, model, random);
  await sameContent(cache, model);
  for (const namespace of model.keys()) await cache.dropNamespace(namespace);
  assert.deepEqual(await cache.listNamespaces(), []);
}

async function step(cache: BaseContextCache, model: Model, random: () => number): Promise<void> {
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const [namespace, key] = [pick(NAMES), pick(NAMES)];
  const space = model.get(namespace);
  const chance = random();
  if (chance < 0.45) {
    const value = pick(AWKWARD_VALUES);
    await cache.set(key, value, namespace);
    model.set(namespace, (space ?? new Map()).set(key, value));
  } else if (chance < 0.65) {
    assert.equal(await cache.delete(key, namespace), space?.delete(key) ?? false);
  } else if (chance < 0.8) {
    sameValue(await cache.get(key, namespace), space?.get(key));
  } else if (chance < 0.9) {
    sameValue([...(await cache.listKeys(namespace))].sort(), [...(space?.keys() ?? [])].sort());
  } else if (chance < 0.96) {
    await cache.clearNamespace(namespace);
    space?.clear();
  } else {
    await cache.dropNamespace(namespace);
    model.delete(namespace);
  }
}

async function sameContent(cache: BaseContextCache, model: Model): Promise<void> {
  assert.deepEqual([...(await cache.listNamespaces())].sort(), [...model.keys()].sort());
  for (const [namespace, space] of model) {
    const keys = [...space.keys()].sort();
    assert.deepEqual([...(await cache.listKeys(namespace))].sort(), keys);
    sameValue(
      await cache.getMany(keys, namespace),
      keys.map((key) => space.get(key)),
    );
  }
}

/** Returns a generator of numbers from 0 to below 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
