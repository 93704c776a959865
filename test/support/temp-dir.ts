import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made = new Set<string>();

process.on('exit', () => {
  for (const directory of made) rmSync(directory, { recursive: true, force: true });
});

/** Directory of everything that a run creates; the global set-up sets it and removes it after the run. */
export function runDirectory(): string {
  return process.env.CONTEXT_CACHE_TEST_RUN ?? tmpdir();
}

/**
 * Creates an empty directory, which is removed when the process of its tests ends, and with the run's directory at the latest.
 *
 * @param label part of the directory's name, to recognise its test.
 */
export async function tempDir(label = 'test'): Promise<string> {
  const directory = await mkdtemp(join(runDirectory(), `context-cache-${label}-`));
  made.add(directory);
  return directory;
}

/** Removes a directory of {@link tempDir} now. */
export function removeTempDir(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  made.delete(directory);
}
