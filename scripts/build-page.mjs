// Bundles the inspector's page into dist/src/inspector/page/: index.html, app.js and app.css, and nothing else.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Folder of the page, in src/ as in dist/. */
export const PAGE = 'inspector/page';
/** Files that the bundle consists of. */
export const PAGE_FILES = ['index.html', 'app.js', 'app.css'];

/**
 * @param {string} root of the project.
 * @returns {Promise<string | undefined>} the error, or `undefined` if the page was built.
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
      // The program imports its styles, so they are written beside it.
      entryPoints: { app: join(source, 'main.tsx') },
      outdir,
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      jsx: 'automatic',
      jsxImportSource: 'preact',
      // The project's compiler options are for Node; the page uses those above.
      tsconfigRaw: {},
      legalComments: 'none',
      logLevel: 'silent',
    });
    copyFileSync(join(source, 'index.html'), join(outdir, 'index.html'));
    return undefined;
  } catch (error) {
    return error.code === 'ERR_MODULE_NOT_FOUND' ? 'esbuild is not installed. Run: npm ci' : error.message;
  }
}
