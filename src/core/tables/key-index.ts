/** Average number of keys per Map if there are several. A single Map may hold twice as many. */
const KEYS_A_MAP = 8_192;

const NONE: Map<string, number>[] = [];

/**
 * The slot of each key of a namespace. A `Map` copies all of itself whenever it doubles (measured: 37 ms at a million
 * keys, ten times that at ten million) and cannot exceed 16.7 million keys. Many keys are therefore spread over several
 * Maps that are split one at a time (linear hashing; Litwin, 1980): a split copies about 16,000 keys, whatever their
 * total.
 */
export class KeyIndex {
  /** The only Map, until it is split. Most namespaces need no other, and compute no hash. */
  #only: Map<string, number> | undefined = new Map();
  #maps: Map<string, number>[] = NONE;
  /** Selects the low bits of a hash that give the Map. A Map that was split in this round uses one bit more. */
  #mask = 0;
  /** The Map to split next. Those before it were split in this round. */
  #next = 0;

  get(key: string): number | undefined {
    return (this.#only ?? this.#mapOf(key)).get(key);
  }

  /** Sets the slot of a key. `size` is the number of keys, including this one. */
  set(key: string, slot: number, size: number): void {
    (this.#only ?? this.#mapOf(key)).set(key, slot);
    if (size > KEYS_A_MAP * (this.#maps.length + 1) && size > 2 * KEYS_A_MAP) this.#split();
  }

  delete(key: string): void {
    (this.#only ?? this.#mapOf(key)).delete(key);
  }

  #mapOf(key: string): Map<string, number> {
    const hash = hashOf(key);
    const low = hash & this.#mask;
    return this.#maps[low < this.#next ? hash & (this.#mask * 2 + 1) : low] as Map<string, number>;
  }

  #split(): void {
    if (this.#only !== undefined) this.#maps = [this.#only];
    this.#only = undefined;
    const bit = this.#mask + 1;
    const stay = new Map<string, number>();
    const go = new Map<string, number>();
    for (const [key, slot] of this.#maps[this.#next] ?? []) (hashOf(key) & bit ? go : stay).set(key, slot);
    this.#maps[this.#next] = stay;
    this.#maps.push(go);
    this.#next += 1;
    if (this.#next <= this.#mask) return;
    this.#mask = this.#mask * 2 + 1;
    this.#next = 0;
  }
}

/** Returns FNV-1a over the UTF-16 units, mixed once more so that the low bits depend on all of them. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 3;
}
