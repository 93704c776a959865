import type { JSX } from 'preact';
import { jsonInText } from './json-text.ts';
import { inline } from './json-view.tsx';

/** One difference between two values. */
interface Change {
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Differences listed at most: a longer list does not help a reader. */
const MOST = 200;

/** Lists where `after` differs from `before`, in the order of `after`. `undefined` stands for no value. */
export function changesBetween(before: unknown, after: unknown, path = ''): Change[] {
  if (before === undefined && after === undefined) return [];
  if (before === undefined) return [{ path, kind: 'added', after }];
  if (after === undefined) return [{ path, kind: 'removed', before }];
  const inText = changesInText(before, after, path);
  if (inText.length > 0) return inText;
  if (!isTree(before) || !isTree(after) || Array.isArray(before) !== Array.isArray(after)) {
    return Object.is(before, after) ? [] : [{ path, kind: 'changed', before, after }];
  }
  const found: Change[] = [];
  for (const key of new Set([...Object.keys(after), ...Object.keys(before)])) {
    const below = changesBetween(own(before, key), own(after, key), step(path, key, Array.isArray(after)));
    for (const change of below) {
      if (found.length < MOST) found.push(change);
    }
  }
  return found;
}

/** Compares JSON in strings by its parts; empty if one of the strings holds none, or both hold the same. */
function changesInText(before: unknown, after: unknown, path: string): Change[] {
  if (typeof before !== 'string' || typeof after !== 'string' || before === after) return [];
  const [was, is] = [jsonInText(before), jsonInText(after)];
  return was === undefined || is === undefined ? [] : changesBetween(was, is, path);
}

const isTree = (value: unknown): value is object => typeof value === 'object' && value !== null;

const own = (value: object, key: string): unknown =>
  Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;

function step(path: string, key: string, isList: boolean): string {
  if (isList) return `${path}[${key}]`;
  return path === '' ? key : `${path}.${key}`;
}

interface DifferenceProps {
  readonly before: unknown;
  readonly after: unknown;
}

/** The differences between two values, one a line. */
export function Difference({ before, after }: DifferenceProps): JSX.Element {
  const changes = changesBetween(before, after);
  if (changes.length === 0) return <p class="muted">The same value.</p>;
  return (
    <ul class="difference" aria-label="Differences">
      {changes.map((change) => (
        <ChangeLine key={change.path} change={change} />
      ))}
    </ul>
  );
}

/** JSON in a string is shown without the quotes and backslashes of the string. */
function shownText(value: unknown): string {
  const inside = typeof value === 'string' ? jsonInText(value) : undefined;
  return inline(inside ?? value, 400);
}

/** Characters of both values above which they are shown below each other. */
const LONG = 60;

function ChangeLine({ change: { path, kind, before, after } }: { readonly change: Change }): JSX.Element {
  const [was, is] = [shownText(before), shownText(after)];
  const isLong = kind === 'changed' && was.length + is.length > LONG;
  return (
    <li class={isLong ? `${kind} long` : kind}>
      {path !== '' && <span class="json-key">{path} </span>}
      {kind !== 'added' && <del>{was}</del>}
      {kind === 'changed' && <span class="muted"> → </span>}
      {kind !== 'removed' && <ins>{is}</ins>}
    </li>
  );
}
