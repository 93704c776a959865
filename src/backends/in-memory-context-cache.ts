import type { JsonValue } from '../core/value.ts';
import { type BackendSetOptions, BaseContextCache } from './base-context-cache.ts';

/**
 * Values in the memory of this process; the fastest primary. Every method is synchronous, and typed so. Values are kept
 * by reference, without bound, until a `delete` or a clear removes them: the cache decides about expiry and then sends a
 * `delete`.
 *
 * @example
 * ```ts
 * const backend = new InMemoryContextCache();
 * backend.set('token', 't-1', 'auth');
 * backend.get('token', 'auth'); // 't-1'
 * ```
 */
export class InMemoryContextCache extends BaseContextCache {
  override readonly synchronous = true;
  readonly #spaces = new Map<string, Map<string, JsonValue>>();

  override get(key: string, namespace: string): JsonValue | undefined {
    return this.#spaces.get(namespace)?.get(key);
  }

  override set(key: string, value: JsonValue, namespace: string, _options?: BackendSetOptions): void {
    let space = this.#spaces.get(namespace);
    if (space === undefined) {
      space = new Map();
      this.#spaces.set(namespace, space);
    }
    space.set(key, value);
  }

  override delete(key: string, namespace: string): boolean {
    return this.#spaces.get(namespace)?.delete(key) ?? false;
  }

  override listKeys(namespace: string): string[] {
    return [...(this.#spaces.get(namespace)?.keys() ?? [])];
  }

  /** Empties the namespace, which stays listed. */
  override clearNamespace(namespace: string): void {
    this.#spaces.get(namespace)?.clear();
  }

  override listNamespaces(): string[] {
    return [...this.#spaces.keys()];
  }

  override dropNamespace(namespace: string): void {
    this.#spaces.delete(namespace);
  }

  override getMany(keys: readonly string[], namespace: string): (JsonValue | undefined)[] {
    const space = this.#spaces.get(namespace);
    return keys.map((key) => space?.get(key));
  }

  override touch(_key: string, _namespace: string, _expiresAt: number | null): void {}
}
