import { nearest } from '../core/nearest.ts';
import { ContextCacheError, type ContextCommand, compareNames, DEFAULT_NAMESPACE } from '../index.ts';
import { shownAmount, shownCount, shownName } from './terminal/format.ts';

/** Namespaces and keys that are looked through. */
const MOST_SEARCHED = 1_000;
/** Namespaces that the message names. */
const MOST_NAMED = 5;
/** Requests at a time to the process that serves the directory. */
const AT_A_TIME = 20;

interface Asked {
  ask(command: ContextCommand): Promise<unknown>;
}

/** Makes the error of a key that is not there: names key and namespace, and where else there is such a key. */
export async function missingKey(target: Asked, key: string, namespace: string): Promise<ContextCacheError> {
  const all = (await target.ask({ type: 'context.namespaces' })) as string[];
  const others = all.filter((name) => name !== namespace).sort(compareNames);
  const searched = others.slice(0, MOST_SEARCHED);
  const found = await thoseWith(target, key, searched);
  const isThere = namespace === DEFAULT_NAMESPACE || all.includes(namespace);
  const problem = isThere
    ? `The namespace ${shownName(namespace)} has no key ${shownName(key)}`
    : noNamespace(namespace, all);
  if (found.length > 0) {
    const subject = isThere ? 'It' : `The key ${shownName(key)}`;
    return notFound(`${problem}${isThere ? '.' : ''} ${subject} exists in ${listed(found)}: add --namespace.`);
  }
  if (!isThere) return notFound(`${problem} See "context-cache namespaces" for the namespaces there are.`);
  const rest = searched.length < others.length ? ` of the first ${shownCount(MOST_SEARCHED)} others` : ' other';
  const keys = (await target.ask({ type: 'context.keys', namespace })) as string[];
  const near = keys.length > MOST_SEARCHED ? undefined : nearest(key, keys);
  const remedy =
    near === undefined ? 'See "context-cache keys" for the keys there are.' : `Did you mean ${shownName(near)}?`;
  return notFound(`${problem}, nor has any${rest}. ${remedy}`);
}

/** Makes the same error without looking anywhere else, for programs. */
export function missingKeyAlone(key: string, namespace: string): ContextCacheError {
  return notFound(`The namespace ${shownName(namespace)} has no key ${shownName(key)}.`);
}

function noNamespace(namespace: string, all: readonly string[]): string {
  const near = all.length > MOST_SEARCHED ? undefined : nearest(namespace, all);
  const question = near === undefined ? '' : ` Did you mean ${shownName(near)}?`;
  return `There is no namespace ${shownName(namespace)}.${question}`;
}

async function thoseWith(target: Asked, key: string, namespaces: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (let start = 0; start < namespaces.length; start += AT_A_TIME) {
    const some = namespaces.slice(start, start + AT_A_TIME);
    const has = await Promise.all(some.map((namespace) => target.ask({ type: 'context.has', namespace, key })));
    found.push(...some.filter((_, index) => has[index] === true));
  }
  return found;
}

/** `a, b and 3 more`. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMED).map(shownName);
  const more = names.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${shownAmount(more, 'more', 'more')}`;
  return shown.length === 1 ? (shown[0] ?? '') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}

function notFound(message: string): ContextCacheError {
  return new ContextCacheError('NOT_FOUND', message);
}
