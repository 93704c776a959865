// Writes dist/: the declarations of src/ and machines/, one bundle for each way into the package with the code that they share
// in chunks, and the inspector's page. A program loads a few files instead of three hundred, which halves its start. Prints
// nothing unless something is wrong, and never to stdout, so that `npm start --silent -- dump …` prints clean data.
// `--if-needed`: only if a source has changed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildPage, PAGE, PAGE_FILES } from './build-page.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
// Not in dist/, which is packed completely. Named after the root: several working trees may share one node_modules.
const cache = join(
  root,
  'node_modules',
  '.cache',
  'build',
  createHash('sha256').update(root).digest('hex').slice(0, 12),
);
const stampFile = join(cache, 'stamp');
const compilerNotes = join(cache, 'tsbuildinfo');
const lock = join(cache, 'lock');
/** Files that a program, Node or the package's own code loads by their names. */
const ENTRIES = [
  // Not packed.
  'bench/lib/internals.ts',
  'test/support/cli-entry.ts',
  'test/support/internals.ts',
  'machines/index.ts',
  'src/ai-sdk.ts',
  'src/backup.ts',
  'src/cli/main.ts',
  'src/client.ts',
  'src/index.ts',
  'src/inspector.ts',
  'src/keyv.ts',
  'src/mcp.ts',
  'src/monitoring.ts',
  'src/cluster.ts',
  'src/nats.ts',
  'src/langgraph.ts',
  'src/openai-agents.ts',
  'src/langchain.ts',
  'src/opentelemetry.ts',
  'src/server.ts',
  'src/storage/disk/index/index-worker.ts',
  'src/testing/index.ts',
  'src/types.ts',
  'src/unstorage.ts',
];

/**
 * @param {{ ifNeeded?: boolean, onStart?: () => void }} options `onStart` is called if there is something to build.
 * @returns {Promise<boolean>} whether dist/ is now up to date.
 */
export async function build({ ifNeeded = false, onStart } = {}) {
  if (ifNeeded && isFresh()) return true;
  onStart?.();
  return exclusively(async () => {
    // Another process may have built while this one waited.
    if (ifNeeded && isFresh()) return true;
    return compile();
  });
}

function isFresh() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === fingerprint() && isWhole();
}

/** Returns whether every source has its output. */
function isWhole() {
  return isCompiled() && PAGE_FILES.every((file) => existsSync(join(dist, 'src', PAGE, file)));
}

function isCompiled() {
  // A file of declarations has no output.
  const programs = allSources().filter((file) => !file.endsWith('.d.ts'));
  return (
    programs.every((file) => existsSync(join(dist, file.replace(/\.ts$/, '.d.ts')))) &&
    ENTRIES.every((file) => existsSync(join(dist, file.replace(/\.ts$/, '.js'))))
  );
}

function allSources() {
  return [...sources('src'), ...sources('machines')];
}

/** Returns names, times and sizes of all sources, which also reveals a removed file and one older than its predecessor. */
function fingerprint() {
  const page = filesIn(join(root, 'src', PAGE)).map((file) => `src/${PAGE}/${file}`);
  const files = ['package.json', 'tsconfig.json', 'tsconfig.build.json', ...ENTRIES, ...allSources(), ...page.sort()];
  return files.map((file) => `${file} ${describe(join(root, file))}`).join('\n');
}

function describe(path) {
  const { mtimeMs, size } = statSync(path);
  return `${mtimeMs} ${size}`;
}

function sources(folder) {
  return filesIn(join(root, folder))
    .filter((file) => file.endsWith('.ts') && !file.startsWith(`${PAGE}/`))
    .map((file) => `${folder}/${file}`)
    .sort();
}

function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' });
}

async function compile() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(tsc)) return fail('The compiler is not installed. Run: npm ci');
  const before = fingerprint();
  rmSync(stampFile, { force: true });
  // The compiler trusts its notes about its output; they are wrong if some of it was removed.
  if (!isCompiled()) rmSync(compilerNotes, { force: true });
  const args = [tsc, '-p', 'tsconfig.build.json', '--tsBuildInfoFile', compilerNotes, '--pretty', 'false'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) return fail(`${stdout}${stderr}The build failed.`);
  removeLeftovers();
  const unbundled = await bundle();
  if (unbundled !== undefined) return fail(`${unbundled}\nThe program could not be bundled.`);
  const wrong = await buildPage(root);
  if (wrong !== undefined) return fail(`${wrong}\nThe inspector's page could not be bundled.`);
  const cli = join(dist, 'src', 'cli', 'main.js');
  if (existsSync(cli)) chmodSync(cli, 0o755);
  writeFileSync(stampFile, before);
  return true;
}

/** Removes all programs, and the declarations of sources that no longer exist, so that they are not packed. */
function removeLeftovers() {
  for (const file of ['.tsbuildinfo', '.stamp']) rmSync(join(dist, file), { force: true });
  for (const folder of ['src', 'machines']) {
    for (const file of filesIn(join(dist, folder))) {
      const source = file.replace(/\.d\.ts(\.map)?$/, '.ts');
      const isStale = source === file ? /\.js(\.map)?$/.test(file) : !existsSync(join(root, folder, source));
      if (isStale) rmSync(join(dist, folder, file));
    }
  }
}

/** Bundles what runs in Node. Resolves with the error, or with `undefined`. */
async function bundle() {
  try {
    const { build } = await import('esbuild');
    const { outputFiles } = await build({
      absWorkingDir: root,
      write: false,
      entryPoints: ENTRIES,
      outdir: dist,
      outbase: root,
      bundle: true,
      // Code of two entries exists once, so that both have the same classes.
      splitting: true,
      chunkNames: 'src/chunks/[name]-[hash]',
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      sourcemap: true,
      logLevel: 'silent',
    });
    for (const { path, text } of outputFiles) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, path.endsWith('.js') ? withClassNames(text) : text);
    }
    return undefined;
  } catch (error) {
    return error.code === 'ERR_MODULE_NOT_FOUND' ? 'esbuild is not installed. Run: npm ci' : error.message;
  }
}

/** Gives each class its own name again: the bundler writes `var Name = class _Name`, and `console.log` would show that. */
function withClassNames(code) {
  return code
    .replaceAll(/\bvar (\w+) = class _\1\b/g, 'var $1 = class $1')
    .replaceAll(/\b_(\w+)\b/g, (found, name) => (code.includes(`var ${name} = class ${found} `) ? name : found));
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  return false;
}

/** Allows one build at a time in this folder; ignores the lock of a process that has ended. */
async function exclusively(work) {
  mkdirSync(cache, { recursive: true });
  while (!take()) await sleep(50);
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function take() {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  if (!isHeld()) rmSync(lock, { force: true });
  return false;
}

function isHeld() {
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    // The lock is empty between its creation and its first write.
    if (holder === 0) return Date.now() - statSync(lock).mtimeMs < 5_000;
    process.kill(holder, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = (await build({ ifNeeded: process.argv.includes('--if-needed') })) ? 0 : 1;
}
