import type { ComponentChildren, JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { jsonInText } from './json-text.ts';

/** Properties, items and characters shown before a click on "more". */
const CHILDREN = 100;
const CHARACTERS = 2_000;
/** Levels, and lines of a level, that are open at first. */
const OPEN_DEPTH = 2;
const OPEN_CHILDREN = 30;

/** The mark that the server puts in place of a secret. */
const HIDDEN = /^\[hidden [0-9a-f]+\]$/;

interface JsonViewProps {
  readonly value: unknown;
  /** Parts of the value may be hidden. */
  readonly hides?: boolean;
}

/** A JSON value as a tree that opens and closes. All of it is shown as text, never as markup. */
export function JsonView({ value, hides = false }: JsonViewProps): JSX.Element {
  return (
    <div class="json">
      <Line value={value} depth={0} hides={hides} />
    </div>
  );
}

interface LineProps {
  readonly name?: string;
  readonly value: unknown;
  readonly depth: number;
  readonly hides: boolean;
}

function Line({ name, value, depth, hides }: LineProps): JSX.Element {
  const [asText, setAsText] = useState(false);
  const inside = useMemo(() => (typeof value === 'string' ? jsonInText(value) : undefined), [value]);
  const isBranch = typeof value === 'object' && value !== null && sizeOf(value) > 0;
  if (isBranch) return <Branch name={name ?? ''} value={value} depth={depth} hides={hides} />;
  if (inside !== undefined && !asText) {
    return (
      <Branch name={name ?? ''} value={inside} depth={depth} hides={hides}>
        <button type="button" class="json-as" onClick={() => setAsText(true)}>
          JSON in a string · show the string
        </button>
      </Branch>
    );
  }
  return (
    <div class="json-line">
      <Name name={name} />
      <Leaf value={value} hides={hides} />
      {inside !== undefined && (
        <button type="button" class="json-as" onClick={() => setAsText(false)}>
          show as JSON
        </button>
      )}
    </div>
  );
}

function Name({ name }: { readonly name: string | undefined }): JSX.Element | null {
  return name === undefined || name === '' ? null : <span class="json-key">{name}:</span>;
}

function Leaf({ value, hides }: Pick<LineProps, 'value' | 'hides'>): JSX.Element {
  const [all, setAll] = useState(false);
  if (typeof value !== 'string') return <span class={classOf(value)}>{plainText(value)}</span>;
  if (hides && HIDDEN.test(value)) return <span class="json-hidden">{value}</span>;
  const shown = all || value.length <= CHARACTERS ? value : value.slice(0, CHARACTERS);
  return (
    <span class="json-text">
      <span class="json-string">"{shown}"</span>
      {shown !== value && (
        <button type="button" class="button small" onClick={() => setAll(true)}>
          {value.length - shown.length} more characters
        </button>
      )}
    </span>
  );
}

interface BranchProps extends LineProps {
  readonly value: object;
  /** Stands beside the opening bracket. */
  readonly children?: ComponentChildren;
}

function Branch({ name, value, depth, hides, children: beside }: BranchProps): JSX.Element {
  const children = Object.entries(value);
  const [open, setOpen] = useState(depth < OPEN_DEPTH && children.length <= OPEN_CHILDREN);
  const [shown, setShown] = useState(CHILDREN);
  return (
    <div>
      <button type="button" class="json-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="next" size={12} />
        <Name name={name} />
        <span class="muted">{open ? brackets(value)[0] : preview(value)}</span>
      </button>
      {beside}
      {open && (
        <ul>
          {children.slice(0, shown).map(([key, child]) => (
            <li key={key}>
              <Line name={key} value={child} depth={depth + 1} hides={hides} />
            </li>
          ))}
          {children.length > shown && (
            <li>
              <button type="button" class="button small" onClick={() => setShown(shown * 10)}>
                {children.length - shown} more
              </button>
            </li>
          )}
        </ul>
      )}
      {open && <div class="muted">{brackets(value)[1]}</div>}
    </div>
  );
}

const sizeOf = (value: object): number => (Array.isArray(value) ? value.length : Object.keys(value).length);

const brackets = (value: object): readonly [string, string] => (Array.isArray(value) ? ['[', ']'] : ['{', '}']);

function preview(value: object): string {
  const [open, close] = brackets(value);
  return `${open} ${sizeOf(value)} ${close}`;
}

const plainText = (value: unknown): string =>
  value !== null && typeof value === 'object' ? brackets(value).join('') : String(value);

function classOf(value: unknown): string {
  if (typeof value === 'number') return 'json-number';
  return typeof value === 'object' && value !== null ? 'muted' : 'json-word';
}

/** Returns a value in one line of text, cut if it is long. Reads only as much of the value as it returns. */
export function inline(value: unknown, limit = 160): string {
  const text = write(value, limit, 0);
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}

function write(value: unknown, limit: number, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(value.length > limit ? value.slice(0, limit) : value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (depth > 4) return '…';
  const isList = Array.isArray(value);
  const parts: string[] = [];
  let left = limit;
  for (const key in value) {
    const child = write((value as Record<string, unknown>)[key], Math.max(1, left), depth + 1);
    const part = isList ? child : `${key}: ${child}`;
    parts.push(part);
    left -= part.length + 2;
    if (left <= 0) break;
  }
  const [open, close] = brackets(value);
  return `${open}${parts.join(', ')}${close}`;
}
