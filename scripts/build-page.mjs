// Bundles the inspector's page into dist/src/inspector/page/: index.html, app.js and app.css, and nothing else.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Where the page lies, in src/ as in dist/. */
export const PAGE = 'inspector/page';
/** What it is made into. */
export const PAGE_FILES = ['index.html', 'app.js', 'app.css'];

/**
 * @param {string} root of the project.
 * @returns {Promise<string | undefined>} what is wrong; `undefined` where the page is built.
 */
export async function buildPage(root) {
  const source = join(root, 'src', PAGE);
  const outdir = join(root, 'dist', 'src', PAGE);
  try {
    const { build } = await import('esbuild');
    rmSync(outdir, { recursive: true, force: true });
    mkdirSync(outdir, { recursive: true });
    await build({
      absWorkingDir: root,
      // Its styles are imported by the program, so that they come out beside it.
      entryPoints: { app: join(source, 'main.tsx') },
      outdir,
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      jsx: 'automatic',
      jsxImportSource: 'preact',
      // The compiler's options are of Node; the page has what is above.
      tsconfigRaw: {},
      legalComments: 'none',
      logLevel: 'silent',
    });
    copyFileSync(join(source, 'index.html'), join(outdir, 'index.html'));
    return undefined;
  } catch (error) {
    return error.code === 'ERR_MODULE_NOT_FOUND' ? 'esbuild is not installed. Run: npm install' : error.message;
  }
}
