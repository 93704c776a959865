/** Something in use that needs the past from a position on. */
export interface Pinned {
  /** The oldest state that it reads. */
  readonly needs: number;
}

/** Dead references are looked for once there are twice as many as were alive the last time, and so many. */
const SWEEP = 64;

/** What is in use of the past. Nobody has to say that it no longer is: garbage pins nothing. */
export class Pins {
  readonly #refs = new Set<WeakRef<Pinned>>();
  #sweepAt = SWEEP;

  /** Returns how to let go of it before it is garbage. */
  add(pinned: Pinned): () => void {
    const ref = new WeakRef(pinned);
    this.#refs.add(ref);
    if (this.#refs.size >= this.#sweepAt) {
      for (const each of this.#refs) if (each.deref() === undefined) this.#refs.delete(each);
      this.#sweepAt = 2 * this.#refs.size + SWEEP;
    }
    return () => void this.#refs.delete(ref);
  }

  /** The oldest state that is needed; `undefined` where nothing is in use. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const ref of this.#refs) {
      const needs = ref.deref()?.needs;
      if (needs === undefined) this.#refs.delete(ref);
      else oldest = Math.min(oldest ?? needs, needs);
    }
    return oldest;
  }
}
