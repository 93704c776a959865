// Lets a worker thread load the TypeScript sources on a version of Node that does not strip types. Vitest's own loader
// is not there in a worker that the code under test starts. What was compiled is kept on disk, because the compiler
// takes longer to start than a thread.
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { register } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, threadId } from 'node:worker_threads';

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/typescript');

if (!isMainThread) register(import.meta.url);

/** Compiles a module with TypeScript's syntax. */
export async function load(url, context, nextLoad) {
  if (!/^file:.*\.ts$/.test(url)) return nextLoad(url, context);
  return { format: 'module', source: await compiled(fileURLToPath(url)), shortCircuit: true };
}

async function compiled(path) {
  const { mtimeMs, size } = await stat(path);
  const kept = join(CACHE, encodeURIComponent(`${path} ${mtimeMs} ${size}.mjs`).slice(-200));
  try {
    return await readFile(kept, 'utf8');
  } catch {
    const { transform } = await import('esbuild');
    const { code } = await transform(await readFile(path, 'utf8'), { loader: 'ts', format: 'esm', target: 'es2022' });
    await mkdir(CACHE, { recursive: true });
    const temporary = `${kept}.${process.pid}.${threadId}`;
    await writeFile(temporary, code);
    await rename(temporary, kept);
    return code;
  }
}
