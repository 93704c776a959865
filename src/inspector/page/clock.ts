/** The time and the timers of the page, in one place that a test can replace. */
export const clock = {
  /** Epoch milliseconds. */
  now: (): number => Date.now(),
  /** Calls `work` once after `ms`. Returns a function that cancels it. */
  after(ms: number, work: () => void): () => void {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  /** Calls `work` every `ms`. Returns a function that stops it. */
  every(ms: number, work: () => void): () => void {
    const timer = setInterval(work, ms);
    return () => clearInterval(timer);
  },
};

/** Returns a function that calls `work` once in the next frame, however often it is called before that. */
export function oncePerFrame(work: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
