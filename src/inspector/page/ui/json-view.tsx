import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Icon } from './icons.tsx';

/** How many properties, items or characters are shown before one asks for more. */
const CHILDREN = 100;
const CHARACTERS = 2_000;
/** What is open from the beginning: so deep, and so many lines of a level. */
const OPEN_DEPTH = 2;
const OPEN_CHILDREN = 30;

/** What stands where the server has hidden something. */
const HIDDEN = /^\[hidden [0-9a-f]+\]$/;

interface JsonViewProps {
  readonly value: unknown;
  /** Whether parts of it are hidden. */
  readonly hides?: boolean;
}

/** A JSON value as a tree that opens and closes. Whatever is in it is shown as text. */
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
  const isBranch = typeof value === 'object' && value !== null && sizeOf(value) > 0;
  if (isBranch) return <Branch name={name ?? ''} value={value} depth={depth} hides={hides} />;
  return (
    <div class="json-line">
      <Name name={name} />
      <Leaf value={value} hides={hides} />
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

function Branch({ name, value, depth, hides }: LineProps & { readonly value: object }): JSX.Element {
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

/** A value in one line of text, cut where it is long; only as much of it is written out as is shown. */
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
