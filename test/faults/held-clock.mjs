/** The machine's clock. No timer fires while `holds` returns true; those that are due then fire at {@link thaw}. */
export class HeldClock {
  #holds;
  #held = new Set();

  constructor(holds) {
    this.#holds = holds;
  }

  now() {
    return Date.now();
  }

  setTimeout(callback, delayMs) {
    const timer = { callback };
    const fire = () => (this.#holds() ? this.#held.add(timer) : callback());
    timer.node = setTimeout(fire, Math.min(delayMs, 2 ** 31 - 1));
    return timer;
  }

  clearTimeout(timer) {
    clearTimeout(timer?.node);
    this.#held.delete(timer);
  }

  unref(timer) {
    timer.node.unref();
  }

  thaw() {
    // A timer may clear another one.
    for (const timer of [...this.#held]) if (this.#held.delete(timer)) timer.callback();
  }
}
