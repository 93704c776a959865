import { ContextCacheError, type ContextStore, type JsonValue, type WatchedUpdate } from '../index.ts';

/** Called with the values after and before a change; `undefined`: the key was or is missing. */
type OnChange = (key: string, value: JsonValue | undefined, previous: JsonValue | undefined) => void;

/**
 * Calls `onChange` for each change of a namespace, with the value before it. Remembers the present values for that, which in a
 * cache of this process are shared with it. Returns a function that ends this.
 */
export function watchItems(cache: ContextStore, namespace: string, onChange: OnChange): () => void {
  const stopped = new AbortController();
  const items = new Items(onChange);
  const watch = () => cache.watch({ namespace, include: 'snapshot', signal: stopped.signal });
  const run = async (first: ReturnType<typeof watch>) => {
    for (let watching = first; ; watching = watch()) {
      try {
        for await (const update of watching) items.take(update);
        return;
      } catch (error) {
        // Goes on with what is there now.
        if (!(error instanceof ContextCacheError && error.code === 'WATCH_OVERFLOW')) throw error;
        items.restart();
      }
    }
  };
  run(watch()).catch((error: Error) => process.emitWarning(error));
  return () => stopped.abort();
}

/** The present values of a namespace, and what becomes of them. */
class Items {
  readonly #known = new Map<string, JsonValue>();
  readonly #onChange: OnChange;
  /** True while the values that were there before the watch arrive. */
  #isListing = true;

  constructor(onChange: OnChange) {
    this.#onChange = onChange;
  }

  take({ operation, key, keys, value, snapshot }: WatchedUpdate): void {
    if (!snapshot) this.#isListing = false;
    if (operation === 'touch') return;
    // A client that has missed too much clears the namespace and lists it again.
    if (operation === 'clear_namespace') this.restart();
    else for (const each of keys ?? [key as string]) this.#change(each, operation === 'set' ? value : undefined);
  }

  /** Forgets and reports all values as removed, because another listing of those that are there follows. */
  restart(): void {
    this.#isListing = false;
    for (const key of [...this.#known.keys()]) this.#change(key, undefined);
  }

  #change(key: string, value: JsonValue | undefined): void {
    const previous = this.#known.get(key);
    if (value !== undefined) this.#known.set(key, value);
    else if (!this.#known.delete(key)) return;
    if (this.#isListing) return;
    try {
      this.#onChange(key, value, previous);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}
