/** The page's own port to time: whoever needs the time or a timer asks here, so that a test can own both. */
export const clock = {
  /** Epoch milliseconds. */
  now: (): number => Date.now(),
  /** Calls `work` once after `ms`; gives what ends the waiting. */
  after(ms: number, work: () => void): () => void {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  /** Calls `work` every `ms`; gives what ends that. */
  every(ms: number, work: () => void): () => void {
    const timer = setInterval(work, ms);
    return () => clearInterval(timer);
  },
};

/** A function that calls `work` once in the next frame however often it is called before. */
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
