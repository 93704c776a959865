import { expect } from 'vitest';
import { connect, type RemoteContextCache } from '../../src/client.ts';
import { AgentContextCache } from '../../src/index.ts';
import type { McpOptions } from '../../src/mcp.ts';
import { startServer } from '../../src/server.ts';
import type { Grant } from '../../src/types.ts';

/** What an agent without a right to it must never see: in values, and in names that no call has passed. */
export const HIDDEN = /S3CRET|UNNAMED/;
/** The agent that has no right to `vault`. */
export const STRANGER = 'stranger';
/** Token of that agent. */
export const STRANGER_TOKEN = 'stranger-token-0123456789';

/** Grants of a guarded cache. The stranger has a right to `open`, and to the further namespaces. */
export const grantsWith = (further: readonly string[] = []): Grant[] => [
  { agent: STRANGER, read: ['open', ...further], write: ['open', ...further] },
  { agent: 'keeper', read: ['vault'], write: ['vault'] },
  { agent: 'UNNAMED-agent', write: ['vault'] },
];

/** Options of {@link guardedCache}. */
interface Guarded {
  /** Further namespaces that the stranger has a right to. */
  readonly further?: readonly string[];
  readonly mcp?: McpOptions;
}

/** A cache with a namespace `vault` that the stranger has no right to, served. */
export async function guardedCache({ further, mcp }: Guarded = {}) {
  const errors: Error[] = [];
  const cache = new AgentContextCache({
    natsUrl: null,
    topics: ['UNNAMED.topic'],
    onError: (error) => errors.push(error),
    grants: grantsWith(further),
  });
  await fillVault(cache);
  const server = await startServer(cache, { agentTokens: { [STRANGER]: STRANGER_TOKEN }, mcp });
  const owner = await connect(server.url, { token: server.token, onError: () => {} });
  const remote = await connect(server.url, { token: STRANGER_TOKEN, onError: () => {} });
  return {
    ...{ cache, server, owner, remote, errors },
    async [Symbol.asyncDispose]() {
      await Promise.all([owner.shutdown(), remote.shutdown()]);
      await cache.shutdown({ timeoutMs: 0 });
    },
  };
}

/** Writes what the stranger must not see. */
export async function fillVault(cache: AgentContextCache | RemoteContextCache): Promise<void> {
  const about = { agent: 'keeper', meta: { why: 'UNNAMED' } };
  await cache.set('code', 'S3CRET 1', 'vault', about);
  await cache.set('code', 'S3CRET 2', 'vault', { ...about, operationId: 'UNNAMED-1' });
  await cache.set('n', 7, 'vault', about);
  await cache.set('UNNAMED-key', 'S3CRET 3', 'vault', about);
  await cache.set('gone', 'S3CRET 4', 'vault', about);
  await cache.clearNamespace('vault', { ...about, prefix: 'gone' });
  await cache.set('UNNAMED-key', 'S3CRET 5', 'UNNAMED-namespace');
  await cache.set('greeting', 'hello', 'open', { agent: STRANGER });
  // Contradict what the keeper wrote.
  await cache.set('UNNAMED-key', 'S3CRET 6', 'vault', { agent: 'UNNAMED-agent', basis: [] });
  const basis = [{ namespace: 'vault', key: 'UNNAMED-key', version: 4 }];
  await cache.set('based', 1, 'open', { agent: STRANGER, basis });
  await cache.set('old:1', 1, 'open', { agent: STRANGER });
  await cache.clearNamespace('open', { agent: STRANGER, prefix: 'old:', basis });
}

/** `denied`, `forbidden`: refused, with `ACCESS_DENIED` or `FORBIDDEN`. `nothing`: answered, without what the agent may not see. */
export type Expected = 'denied' | 'forbidden' | 'nothing';
export type Tries<Target> = Readonly<Record<string, readonly (readonly [Expected, (target: Target) => unknown])[]>>;

/** What a call gave: refused, failed otherwise, or done; and everything that it showed, as text. */
export interface Observed {
  readonly outcome: 'denied' | 'forbidden' | 'failed' | 'done';
  readonly shown: string;
}

/** Longest wait for the first item of an iteration, and for a further one of a watch, milliseconds. */
const FIRST_MS = 10_000;
const NEXT_MS = 200;

/** Calls, waits for the promise, and takes the items of an iteration. */
export async function observe(call: () => unknown): Promise<Observed> {
  try {
    const result = await call();
    const shown = isIterator(result) ? await itemsOf(result) : result;
    return { outcome: 'done', shown: textOf(shown) };
  } catch (error) {
    const { code } = causeOf(error);
    const outcome = code === 'ACCESS_DENIED' ? 'denied' : code === 'FORBIDDEN' ? 'forbidden' : 'failed';
    return { outcome, shown: textOf(error) };
  }
}

/** Returns the error of the cache that a framework's error wraps; an empty object if there is none. */
function causeOf(error: unknown): { readonly code?: unknown } {
  for (let each = error; each instanceof Error; each = each.cause) if ('code' in each) return each;
  return {};
}

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { next?: unknown }).next === 'function';
}

async function itemsOf(iterator: AsyncIterator<unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const isWatch = 'position' in iterator;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, isWatch && items.length > 0 ? NEXT_MS : FIRST_MS, 'late');
    });
    const next = await Promise.race([iterator.next(), late]);
    clearTimeout(timer);
    if (next === 'late' || next.done === true) break;
    items.push(next.value);
  }
  void iterator.return?.();
  return items;
}

function textOf(value: unknown): string {
  if (value instanceof Error)
    return `${value.name} ${value.message} ${JSON.stringify({ ...value })} ${textOf(value.cause)}`;
  if (value instanceof Map || value instanceof Set) return textOf([...value]);
  return JSON.stringify(value) ?? String(value);
}

/** Names of the functions and accessors of an object, its own and those of all its classes. */
export function functionsOf(target: object): string[] {
  const names = new Set(Object.keys(target).filter((name) => typeof Reflect.get(target, name) === 'function'));
  for (let each = Object.getPrototypeOf(target); each !== Object.prototype; each = Object.getPrototypeOf(each))
    for (const name of membersOf({ prototype: each })) names.add(name);
  return [...names];
}

/** Names of the methods and accessors of a class, private ones excluded. */
export function membersOf(type: { readonly prototype: object }): string[] {
  return Object.getOwnPropertyNames(type.prototype).filter((name) => name !== 'constructor');
}

/** Checks that all members are listed, and tries them. */
export async function tryAll<Target>(target: Target, members: readonly string[], tries: Tries<Target>): Promise<void> {
  expect(members.filter((name) => !Object.hasOwn(tries, name))).toEqual([]);
  expect(Object.keys(tries).filter((name) => !members.includes(name))).toEqual([]);
  for (const [name, ways] of Object.entries(tries)) {
    for (const [index, [expected, call]] of ways.entries()) {
      const { outcome, shown } = await observe(() => call(target));
      const found = `${name} ${index}: ${outcome} ${shown}`;
      expect(found).toContain(`: ${expected === 'nothing' ? 'done' : expected} `);
      expect(found).not.toMatch(HIDDEN);
    }
  }
}
