import { isDeepStrictEqual } from 'node:util';
import { decode } from '@msgpack/msgpack';
import type { Redis } from 'ioredis';
import type { AgentContextCache } from '../../../src/index.ts';

/** The content of a key: its value, and when it expires. */
type Held = readonly [value: unknown, expiresAt: number | null];

/** Describes how the mirror under a prefix differs from the cache. Uses only the documented layout. */
export async function mirrorDifferences(redis: Redis, prefix: string, cache: AgentContextCache): Promise<string[]> {
  const held = await mirrored(redis, prefix);
  const [wanted, indexes] = expected(cache);
  const differences = differencesOf(held, wanted, 'the mirror', 'the cache');
  const position = Number(await redis.hget(`${prefix}:positions`, cache.health().log.id));
  if (position !== cache.position) differences.push(`the mirror is at ${position}, the cache at ${cache.position}`);
  // The set of an emptied namespace is absent. `default` is always listed, but mirrored only once it is written to.
  const listed = await redis.smembers(`${prefix}:namespaces`);
  for (const name of indexes.keys()) if (!listed.includes(name)) differences.push(`${name} is not listed`);
  for (const name of listed) if (!indexes.has(name)) differences.push(`${name} is listed and should not be`);
  for (const [name, keys] of indexes) {
    const index = (await redis.smembers(`${prefix}:keys:${name}`)).sort();
    if (!isDeepStrictEqual(index, keys.sort())) differences.push(`the index of ${name}: ${index} in place of ${keys}`);
  }
  return differences;
}

/** Describes the first differences of two maps. */
export function differencesOf(
  held: ReadonlyMap<string, unknown>,
  wanted: ReadonlyMap<string, unknown>,
  here: string,
  there: string,
): string[] {
  const differences: string[] = [];
  for (const [key, value] of wanted) {
    if (!held.has(key)) differences.push(`${here} lacks ${key}`);
    else if (!isDeepStrictEqual(held.get(key), value)) {
      differences.push(`${key}: ${brief(held.get(key))} in ${here}, ${brief(value)} in ${there}`);
    }
  }
  for (const key of held.keys()) if (!wanted.has(key)) differences.push(`${here} has ${key}, which ${there} has not`);
  return differences;
}

async function mirrored(redis: Redis, prefix: string): Promise<Map<string, Held>> {
  const held = new Map<string, Held>();
  const keys = (await redis.keys(`${prefix}*`)).filter((key) => !key.startsWith(`${prefix}:`));
  const values = keys.length === 0 ? [] : await redis.mgetBuffer(keys);
  const expiries = await Promise.all(keys.map((key) => redis.call('PEXPIRETIME', key) as Promise<number>));
  for (const [index, key] of keys.entries()) {
    const bytes = values[index];
    if (!bytes) continue;
    const expiresAt = expiries[index] ?? -1;
    held.set(key.slice(prefix.length), [decode(bytes), expiresAt < 0 ? null : expiresAt]);
  }
  return held;
}

/** Returns the content that the mirror should hold, and the keys by namespace. */
function expected(cache: AgentContextCache): [Map<string, Held>, Map<string, string[]>] {
  const wanted = new Map<string, Held>();
  const indexes = new Map<string, string[]>();
  for (const namespace of cache.listNamespaces()) {
    const name = namespace.replaceAll('%', '%25').replaceAll(':', '%3A');
    const entries = cache.entries(namespace);
    if (namespace !== 'default' || entries.length > 0)
      indexes.set(
        name,
        entries.map(({ key }) => key),
      );
    for (const { key, value, expiresAt } of entries) wanted.set(`${name}:${key}`, [value, expiresAt]);
  }
  return [wanted, indexes];
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
