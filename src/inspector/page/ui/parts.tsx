import type { ComponentChildren, JSX } from 'preact';
import { Icon, type IconName } from './icons.tsx';

/** A colour that says how good or bad something is. */
export type Tone = 'ok' | 'warn' | 'bad' | 'accent' | undefined;

interface CardProps {
  readonly title: ComponentChildren;
  /** Shown to the right of the title. */
  readonly side?: ComponentChildren;
  /** Takes all of the height; the content scrolls. */
  readonly fill?: boolean;
  /** Without space around the content. */
  readonly flush?: boolean;
  readonly children?: ComponentChildren;
}

/** A titled box. */
export function Card({ title, side, fill = false, flush = false, children }: CardProps): JSX.Element {
  return (
    <section class={fill ? 'card fill' : 'card'}>
      <header class="card-head">
        <h2 class="ellipsis">{title}</h2>
        {side}
      </header>
      {flush ? children : <div class="card-body">{children}</div>}
    </section>
  );
}

/** A word in a coloured pill. */
export function Badge({ tone, children }: { readonly tone?: Tone; readonly children: ComponentChildren }): JSX.Element {
  return <span class={`badge ${tone ?? ''}`}>{children}</span>;
}

interface StateProps {
  readonly title: string;
  readonly icon?: IconName;
  readonly tone?: Tone;
  readonly children?: ComponentChildren;
}

/** Says why there is nothing to show, and what to do. */
export function Empty({ title, icon, tone, children }: StateProps): JSX.Element {
  return (
    <div class={`state ${tone ?? ''}`}>
      {icon && <Icon name={icon} size={26} />}
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Shown while something is being loaded. */
export function Loading({ what }: { readonly what: string }): JSX.Element {
  return (
    <div class="state" role="status">
      <span class="spinner" />
      <span>{what} …</span>
    </div>
  );
}

/** Shown after a failure. */
export function Failed({ message, retry }: { readonly message: string; readonly retry?: () => void }): JSX.Element {
  return (
    <div class="state bad" role="alert">
      <Icon name="warning" size={26} />
      <strong>This failed</strong>
      <p>{message}</p>
      {retry && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface ButtonProps {
  readonly label: string;
  readonly icon: IconName;
  readonly onClick: () => void;
  readonly disabled?: boolean;
  readonly small?: boolean;
}

/** A button with an icon only. Its label is its name and its tooltip. */
export function IconButton({ label, icon, onClick, disabled = false, small = false }: ButtonProps): JSX.Element {
  return (
    <button
      type="button"
      class={`button bare square ${small ? 'small' : ''}`}
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} size={small ? 16 : 18} />
    </button>
  );
}

interface SegmentsProps<Value extends string> {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [value: Value, text: ComponentChildren, title?: string])[];
  readonly onChange: (value: Value) => void;
}

/** A choice of one among a few. */
export function Segments<Value extends string>(props: SegmentsProps<Value>): JSX.Element {
  return (
    <fieldset class="segments bare-set" aria-label={props.label}>
      {props.options.map(([value, text, title]) => (
        <button
          type="button"
          key={value}
          aria-pressed={value === props.value}
          aria-label={title}
          title={title}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </fieldset>
  );
}

interface SearchProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (text: string) => void;
}

export function Search({ label, value, onInput }: SearchProps): JSX.Element {
  return (
    <div class="search">
      <Icon name="search" size={16} />
      <input
        class="input"
        type="search"
        placeholder={label}
        aria-label={label}
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </div>
  );
}

/** A name with its value below it, in a row of figures. */
export function Figure({
  name,
  children,
}: {
  readonly name: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <div class="card figure">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

interface FactsProps {
  readonly of: readonly (readonly [string, ComponentChildren])[];
  /** Puts several pairs beside each other if there is room. */
  readonly wide?: boolean;
}

/** Names and values; pairs whose value is `undefined` are left out. */
export function Facts({ of, wide = false }: FactsProps): JSX.Element {
  const there = of.filter(([, value]) => value !== undefined);
  return (
    <dl class={wide ? 'facts wide' : 'facts'}>
      {there.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Names of operations that are shown differently. */
const WORDS: Readonly<Record<string, string>> = { clear_namespace: 'clear', clear: 'clear keys' };

export function Op({ of }: { readonly of: string }): JSX.Element {
  return <span class={`op ${of}`}>{WORDS[of] ?? of}</span>;
}
