/** Keys a Map holds on average once there are several; one on its own may hold twice as many. */
const KEYS_A_MAP = 8_192;

const NONE: Map<string, number>[] = [];

/**
 * Where each key of a namespace is. One `Map` copies itself whole whenever it doubles (measured: 37 ms at a million
 * keys, ten times that at ten million) and ends at 16.7 million, so that many keys are spread over many Maps, and one
 * more is added now and then: a step copies about 16,000 keys, however many there are. This is linear hashing (Litwin,
 * 1980).
 */
export class KeyIndex {
  /** Until it is split. Most namespaces have no more, and nobody need compute a hash. */
  #only: Map<string, number> | undefined = new Map();
  #maps: Map<string, number>[] = NONE;
  /** A key is in the Map that the low bits of its hash name: those of the mask, one more where that Map was split. */
  #mask = 0;
  /** The Map to be split next; those before it have been in this round. */
  #next = 0;

  get(key: string): number | undefined {
    return (this.#only ?? this.#mapOf(key)).get(key);
  }

  /** `size`: how many keys there are, this one included. */
  set(key: string, place: number, size: number): void {
    (this.#only ?? this.#mapOf(key)).set(key, place);
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
    for (const [key, place] of this.#maps[this.#next] ?? []) (hashOf(key) & bit ? go : stay).set(key, place);
    this.#maps[this.#next] = stay;
    this.#maps.push(go);
    this.#next += 1;
    if (this.#next <= this.#mask) return;
    this.#mask = this.#mask * 2 + 1;
    this.#next = 0;
  }
}

/** FNV-1a over the UTF-16 units, mixed once more so that the low bits depend on all of them. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 3;
}
