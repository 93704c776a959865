import { ContextCacheError } from './errors.ts';
import { nearest } from './nearest.ts';

/** The names of `Options`, each exactly once: `true`, or the names inside an option that is an object itself. */
export type NamesOf<Options> = { readonly [Name in keyof Options]-?: true | OptionNames };

/** More about an option object. */
export interface OptionHints {
  /** Option objects that a misplaced name may belong to, besides those nested in this one. */
  readonly elsewhere?: (() => readonly OptionNames[]) | undefined;
}

/**
 * The known names of an option object; {@link optionNames} creates it. Any other name is refused, with the nearest known
 * name or the object that it belongs to, because a mistyped option that is ignored changes what the call does.
 */
export class OptionNames {
  /** Name of the method or object that takes the options, as users write it: `watch`, `AgentContextCache.open`, `log`. */
  readonly owner: string;
  readonly #names: Readonly<Record<string, true | OptionNames>>;
  readonly #elsewhere: () => readonly OptionNames[];

  /** Called by {@link optionNames}, which checks `names` against a type. */
  constructor(
    owner: string,
    names: Readonly<Record<string, true | OptionNames>>,
    elsewhere: () => readonly OptionNames[],
  ) {
    this.owner = owner;
    this.#names = names;
    this.#elsewhere = elsewhere;
  }

  /**
   * Checks the names of `options` and of the option objects inside it. An unknown name whose value is `undefined`
   * passes, because it has no effect.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   */
  check(options: unknown): void {
    if (options === undefined) return;
    if (typeof options !== 'object' || options === null || Array.isArray(options)) {
      throw invalid(`${this.owner} takes its options as an object, not as ${kindOf(options)}. ${this.#takes()}`);
    }
    for (const name in options) {
      if (this.#names[name] !== true) this.#look(name, (options as Readonly<Record<string, unknown>>)[name]);
    }
  }

  /** Returns the options after {@link check}. */
  checked<Options>(options: Options): Options {
    this.check(options);
    return options;
  }

  /** Yields the option objects in which `name` is an option: this one, or one inside it. */
  *ownersOf(name: string): Generator<OptionNames> {
    if (Object.hasOwn(this.#names, name)) yield this;
    for (const nested of this.#nested()) yield* nested.ownersOf(name);
  }

  /** All names of this object. */
  list(): string[] {
    return Object.keys(this.#names);
  }

  #look(name: string, value: unknown): void {
    if (value === undefined) return;
    const nested = Object.hasOwn(this.#names, name) ? this.#names[name] : undefined;
    if (!(nested instanceof OptionNames))
      throw invalid(`${this.owner} has no option ${shown(name)}${this.#remedy(name)}`);
    if (typeof value === 'object' && value !== null) nested.check(value);
  }

  #remedy(name: string): string {
    const others = [...this.#nested(), ...this.#elsewhere()];
    for (const other of others) {
      const owner = other.ownersOf(name).next().value;
      if (owner !== undefined) return `: ${shown(name)} is an option of ${owner.owner}.`;
    }
    const own = nearest(name, this.list());
    if (own !== undefined) return `. Did you mean ${own}?`;
    for (const other of others) {
      const near = nearest(name, other.list());
      if (near !== undefined) return `. Did you mean ${near}, an option of ${other.owner}?`;
    }
    return `. ${this.#takes()}`;
  }

  #takes(): string {
    return `It takes ${this.list().join(', ')}.`;
  }

  *#nested(): Generator<OptionNames> {
    for (const name of this.list()) {
      const nested = this.#names[name];
      if (nested instanceof OptionNames) yield nested;
    }
  }
}

/**
 * Creates the list of the names of `Options`. A missing or superfluous name is a compiler error.
 *
 * @param owner Name of the method or object that takes the options, as users write it: `watch`, `log`.
 *
 * @example
 * ```ts
 * const WATCH = optionNames<WatchOptions>('watch', { namespace: true, keys: true, signal: true });
 * WATCH.check({ namespaces: ['trip'] }); // INVALID_OPTION: watch has no option namespaces. Did you mean namespace?
 * ```
 */
export function optionNames<Options>(
  owner: string,
  names: NamesOf<NoInfer<Options>>,
  { elsewhere = () => [] }: OptionHints = {},
): OptionNames {
  return new OptionNames(owner, names as Readonly<Record<string, true | OptionNames>>, elsewhere);
}

/** Returns a name from outside, shortened for a message. */
function shown(name: string): string {
  return /^\w{1,60}$/.test(name) ? name : JSON.stringify(name.slice(0, 60));
}

/** Returns the kind of a value for the message of an error: `null`, `an array`, `a number`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', problem);
}
