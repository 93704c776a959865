/** Resolves with whether the work settled before the signal. A failure of the work is reported elsewhere. */
export function inTime(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(false), { once: true });
    if (signal.aborted) resolve(false);
    work.then(
      () => resolve(true),
      () => resolve(true),
    );
  });
}
