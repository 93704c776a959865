import type { ComponentChildren, JSX } from 'preact';
import { Icon, type IconName } from './icons.tsx';

/** How good or bad something is, as a colour. */
export type Tone = 'ok' | 'warn' | 'bad' | 'accent' | undefined;

interface CardProps {
  readonly title: ComponentChildren;
  /** What stands at the right of the title. */
  readonly side?: ComponentChildren;
  /** Takes the height there is; what is in it scrolls. */
  readonly fill?: boolean;
  /** Without the space around what is in it. */
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

/** Stands where there is nothing to show, and says why and what to do. */
export function Empty({ title, icon, tone, children }: StateProps): JSX.Element {
  return (
    <div class={`state ${tone ?? ''}`}>
      {icon && <Icon name={icon} size={26} />}
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Stands where something is on its way. */
export function Loading({ what }: { readonly what: string }): JSX.Element {
  return (
    <div class="state" role="status">
      <span class="spinner" />
      <span>{what} …</span>
    </div>
  );
}

/** Stands where something has failed. */
export function Failed({ message, retry }: { readonly message: string; readonly retry?: () => void }): JSX.Element {
  return (
    <div class="state bad" role="alert">
      <Icon name="warning" size={26} />
      <strong>That did not work</strong>
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

/** A button that shows a picture only; its label is its name and its tip. */
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

/** One of a few. */
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

/** A name and its value, below each other in a row of figures. */
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
  /** Several pairs beside each other where there is room. */
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

export function Op({ of }: { readonly of: string }): JSX.Element {
  return <span class={`op ${of}`}>{of === 'clear_namespace' ? 'clear' : of}</span>;
}
