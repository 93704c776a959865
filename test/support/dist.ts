import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The project's root directory. */
export const projectRoot = join(import.meta.dirname, '../..');

/** The built command line, for `spawn(process.execPath, [cliPath, …])`. */
export const cliPath = join(projectRoot, 'dist/src/cli/main.js');

/** Builds `dist/` if a source has changed since; otherwise returns quickly. Rejects with the compiler's messages. */
export async function buildDist(): Promise<void> {
  const script = join(projectRoot, 'scripts/build.mjs');
  try {
    await promisify(execFile)(process.execPath, [script, '--if-needed']);
  } catch (error) {
    throw new Error((error as { stderr?: string }).stderr ?? 'The build failed.', { cause: error });
  }
}
