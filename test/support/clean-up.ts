const cleanUps: (() => Promise<void>)[] = [];

/** Runs a function after each test of this process. For modules that tests import: those are loaded once for several files. */
export function afterEachTest(cleanUp: () => Promise<void>): void {
  cleanUps.push(cleanUp);
}

/** Runs all functions that were given to {@link afterEachTest}, the last one first. */
export async function cleanUp(): Promise<void> {
  for (const each of cleanUps.toReversed()) await each();
}
