/**
 * A map from prefixes to values that finds all prefixes of a name. A look-up costs one step for each different length of
 * prefix in the map, however many prefixes there are.
 */
export class PrefixMap<Value> {
  readonly #values = new Map<string, Value>();
  /** Number of prefixes of each length. */
  readonly #counts = new Map<number, number>();

  get size(): number {
    return this.#values.size;
  }

  get(prefix: string): Value | undefined {
    return this.#values.get(prefix);
  }

  set(prefix: string, value: Value): void {
    if (!this.#values.has(prefix)) this.#count(prefix.length, 1);
    this.#values.set(prefix, value);
  }

  delete(prefix: string): void {
    if (this.#values.delete(prefix)) this.#count(prefix.length, -1);
  }

  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  /** Calls `visit` with the value of each prefix of `name`, in no particular order. */
  visit(name: string, visit: (value: Value) => void): void {
    for (const length of this.#counts.keys()) {
      const value = length > name.length ? undefined : this.#values.get(name.slice(0, length));
      if (value !== undefined) visit(value);
    }
  }

  #count(length: number, by: number): void {
    const count = (this.#counts.get(length) ?? 0) + by;
    if (count === 0) this.#counts.delete(length);
    else this.#counts.set(length, count);
  }
}
