import type { JsonValue } from './value.ts';

/**
 * What the namespaces of a cache hold, for the compiler: `{ auth: { token: string } }`. A plain
 * `AgentContextCache` takes any JSON value under any name.
 */
export type NamespaceTypes = { readonly [namespace: string]: object };

/** Namespaces of any name with any JSON value. */
export type AnyNamespaces = { readonly [namespace: string]: { readonly [key: string]: JsonValue } };

/** Names of the namespaces of `S`. */
export type NamespaceOf<S> = keyof S & string;
/** Keys of namespace `N`. */
export type KeyOf<S, N extends keyof S> = keyof S[N] & string;
/** The type of a value; any JSON value where `S` says nothing. */
export type ValueOf<S, N extends keyof S, K extends keyof S[N]> = S[N][K];
