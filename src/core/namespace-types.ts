import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { BatchOperation } from './command.ts';
import type { Found, SearchOptions } from './entry-search.ts';
import type { DEFAULT_NAMESPACE } from './names.ts';
import type { NamespaceParts } from './namespace-parts.ts';
import type { NamespaceSchema, NamespaceSchemas } from './schemas.ts';
import type { Operation, Update } from './update.ts';
import type { JsonValue } from './value.ts';

/**
 * The types of a cache's namespaces, for the compiler: `{ auth: { token: string } }`, as a type or an interface. A name
 * that ends in `*` types every namespace that starts with the text before it: `{ 'trip:*': { plan: Plan } }`. An exact
 * name wins over a pattern, a longer pattern over a shorter one.
 */
export type NamespaceTypes<S = AnyNamespaces> =
  IsAnySchemas<S> extends true ? AnyNamespaces : { readonly [N in keyof S]: object };

/** Namespaces of any name that hold any JSON value under any key. */
export type AnyNamespaces = { readonly [namespace: string]: AnyKeys };

/** Any JSON value under any key. */
type AnyKeys = { readonly [key: string]: JsonValue };

export type DefaultNamespace = typeof DEFAULT_NAMESPACE;

/** `true` if `S` is a set of schemas, as the compiler infers it from `schemas`. */
type IsSchemas<S> = [keyof S] extends [never] ? true : [S[keyof S]] extends [NamespaceSchema] ? true : false;

/** `true` if `S` is the type of schemas that are not known in detail. Then every namespace may hold anything. */
type IsAnySchemas<S> = string extends keyof S ? IsSchemas<S> : false;

/** The names that a name of `S` stands for: itself, or all that start with what precedes its `*`. */
type NamesOf<Name> = Name extends `${infer Prefix}*` ? `${Prefix}${string}` : Name;

/** The names of `S` that stand for `N`. */
type Matching<S, N> = keyof S & string extends infer Name
  ? Name extends string
    ? N extends NamesOf<Name>
      ? Name
      : never
    : never
  : never;

/** The members of `All` that stand for fewer names than `Name` does. */
type NarrowerThan<Name, All> = All extends string
  ? NamesOf<All> extends NamesOf<Name>
    ? NamesOf<Name> extends NamesOf<All>
      ? never
      : All
    : never
  : never;

type Narrowest<Names, All = Names> = Names extends string
  ? [NarrowerThan<Names, All>] extends [never]
    ? Names
    : never
  : never;

/** The types, or the schemas, of namespace `N`. */
type SpaceOf<S, N> = string extends keyof S
  ? N extends keyof S
    ? S[N]
    : never
  : [Matching<S, N>] extends [never]
    ? IsSchemas<S> extends true
      ? AnyKeys
      : never
    : S[Narrowest<Matching<S, N>> & keyof S];

/** The type, or the schema, of a key. */
type FieldOf<Space, K> = Space extends StandardSchemaV1 ? Space : K extends keyof Space ? Space[K] : never;

/** Names of the namespaces of `S`. Schemas leave every other name open. */
export type NamespaceOf<S> = IsSchemas<S> extends true ? string : NamesOf<keyof S & string>;

/** Keys of namespace `N`. */
export type KeyOf<S, N> =
  SpaceOf<S, N> extends infer Space ? (Space extends StandardSchemaV1 ? string : keyof Space & string) : never;

/** The type of a value that is read, deeply readonly as every value of the cache is. */
export type ValueOf<S, N, K> = DeepReadonly<OutputOf<FieldOf<SpaceOf<S, N>, K>>>;

/** The type of a value that is written. With a schema, the input type of the schema. */
export type InputOf<S, N, K> = TakenBy<FieldOf<SpaceOf<S, N>, K>>;

type OutputOf<T> = [T] extends [StandardSchemaV1] ? StandardSchemaV1.InferOutput<T> : T;
type TakenBy<T> = [T] extends [StandardSchemaV1] ? StandardSchemaV1.InferInput<T> : T;

/** `T` with every property readonly at every depth. */
export type DeepReadonly<T> = [JsonValue] extends [T] ? T : ReadonlyParts<T>;

// Arrays of any length have a clause of their own here too, so that recursive types stay finite.
type ReadonlyParts<T> = T extends readonly (infer Element)[]
  ? number extends T['length']
    ? readonly DeepReadonly<Element>[]
    : { readonly [K in keyof T]: DeepReadonly<T[K]> }
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/**
 * The type of a namespace argument. `N` is what the caller gave; any other name than those of `S` is an error here, not at
 * the key.
 */
export type NameArgument<S, N> = [N] extends [NamespaceOf<S>] ? N : NamespaceOf<S>;

/** The parts of a namespace, as an argument of caches that leave every name open. */
export type PartsArgument<S> = string extends keyof S ? NamespaceParts : never;

/** The type of a namespace argument that may also be given in parts. */
export type NamespaceArgument<S, N> = [N] extends [NamespaceOf<S>] ? N | PartsArgument<S> : NamespaceOf<S>;

/** The type of a key argument. If the namespace is wrong any key passes, as the error is reported at the namespace. */
export type KeyArgument<S, N, K> = [N] extends [NamespaceOf<S>]
  ? [K] extends [KeyOf<S, N>]
    ? K
    : KeyOf<S, N>
  : [N] extends [DefaultNamespace]
    ? NoDefaultNamespace
    : K;

/** The compiler's message if a cache without a `default` namespace is used without a namespace. */
interface NoDefaultNamespace {
  readonly error: 'This cache types no default namespace: name the namespace.';
}

/** The type of a value argument; `V` is what the caller gave. */
export type ValueArgument<S, N, K, V> = [N] extends [NamespaceOf<S>] ? Accepted<InputOf<S, N, K>, V> : unknown;

type Accepted<T, V> = [JsonValue] extends [T] ? Storable<V> : DeepReadonly<T>;

/**
 * `V` if JSON can hold it. An interface passes, although it is not assignable to {@link JsonValue} for lack of an index
 * signature. Only the first mention of `V` infers it: a union would infer each of its parts separately.
 */
type Storable<V> = V & NoInfer<JsonValue | Jsonlike<V>>;

// The clause for arrays keeps recursive types finite: the compiler maps the elements of an array at once.
type Jsonlike<V> = V extends JsonValue
  ? V
  : V extends NotJson
    ? never
    : V extends readonly (infer Element)[]
      ? readonly Jsonlike<Element>[]
      : V extends object
        ? { readonly [K in keyof V]: Jsonlike<V[K]> }
        : never;

/** Objects that would lose their contents as JSON. */
type NotJson =
  | ((...given: never[]) => unknown)
  | Date
  | RegExp
  | Error
  | PromiseLike<unknown>
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | ArrayBufferView;

/** The type of the argument of `setMany`: a record of the namespace's keys, or pairs. */
export type ManyArgument<S, N, V> = [N] extends [NamespaceOf<S>]
  ? [JsonValue] extends [InputOf<S, N, KeyOf<S, N>>]
    ? V extends Iterable<readonly [string, infer Value]>
      ? Iterable<readonly [string, Storable<Value>]>
      : Storable<V>
    :
        | { readonly [K in KeyOf<S, N>]?: DeepReadonly<InputOf<S, N, K>> }
        | Iterable<readonly [KeyOf<S, N>, DeepReadonly<InputOf<S, N, KeyOf<S, N>>>]>
  : V;

/** One step of a typed batch. */
export type BatchOf<S, N> = [JsonValue] extends [InputOf<S, N, KeyOf<S, N>>]
  ? BatchOperation
  : {
      [K in KeyOf<S, N>]:
        | (Omit<Extract<BatchOperation, { operation: 'set' }>, 'key' | 'value'> & {
            readonly key: K;
            readonly value: DeepReadonly<InputOf<S, N, K>>;
          })
        | (Omit<Extract<BatchOperation, { operation: 'delete' }>, 'key'> & { readonly key: K })
        | (Omit<Extract<BatchOperation, { operation: 'touch' }>, 'key'> & { readonly key: K })
        | (Omit<Extract<BatchOperation, { operation: 'check' }>, 'key'> & { readonly key: K });
    }[KeyOf<S, N>];

/** One operation of a typed transaction. Names its namespace, unless that may be `default`. */
export type TransactionOf<S extends NamespaceTypes<S>> = {
  [N in NamespaceOf<S>]: BatchOf<S, N> &
    (DefaultNamespace extends N ? { readonly namespace?: N | undefined } : { readonly namespace: N });
}[NamespaceOf<S>];

/** An update of namespace `N` with its keys and values; a plain update if `N` may be any name. */
export type UpdateOf<S, N, U extends Update = Update> = string extends N
  ? U
  : N extends string
    ?
        | { [K in KeyOf<S, N>]: Changed<U, N, 'set', K, ValueOf<S, N, K>> }[KeyOf<S, N>]
        | Changed<U, N, Exclude<Operation, 'set' | 'clear_namespace' | 'clear'>, KeyOf<S, N>, null>
        | Changed<U, N, 'clear_namespace', null, null>
        | (Changed<U, N, 'clear', null, null> & { readonly keys: readonly KeyOf<S, N>[] })
    : never;

type Changed<U extends Update, N, O extends Operation, K, V> = Omit<U, 'namespace' | 'operation' | 'key' | 'value'> & {
  readonly namespace: N;
  readonly operation: O;
  readonly key: K;
  readonly value: V;
};

/** The typed form of the filter that `watch` and `subscribe` take. */
export interface FilterOf<S, N> {
  /** Only updates of this namespace, or of these. Default: all. */
  readonly namespace?: NameArgument<S, N> | readonly NameArgument<S, N>[] | undefined;
  /**
   * Only updates of namespaces whose name starts with this text, or that start with these parts. Excludes `namespace`.
   * Default: all.
   */
  readonly namespacePrefix?: string | NamespaceParts | undefined;
  /**
   * Only updates of these keys, and those that clear the namespace. A `clear` names only those of its keys that are
   * selected. Excludes `keyPrefix`. Default: all.
   */
  readonly keys?: readonly KeyOf<S, N>[] | undefined;
  /** Only updates of keys that start with this text; otherwise as `keys`. Default: all. */
  readonly keyPrefix?: string | undefined;
}

/** The schemas that a cache with the types `S` may have; `S` itself if it was inferred from them. */
export type SchemasFor<S> = string extends keyof S
  ? NamespaceSchemas
  : IsSchemas<S> extends true
    ? S
    : {
        readonly [N in keyof S]?:
          | StandardSchemaV1<unknown, S[N][keyof S[N]]>
          | { readonly [K in keyof S[N]]?: StandardSchemaV1<unknown, S[N][K]> };
      };

/** The options of a search in typed namespaces. */
export type SearchOf<S, N extends string> = Omit<SearchOptions, 'namespace'> & {
  readonly namespace?: NamespaceArgument<S, N> | undefined;
};

/** A page of a search in typed namespaces. */
export type FoundIn<S, N extends string> = Found<ValueOf<S, N, KeyOf<S, N>>>;
