// Runs a durable round trip and the README's first example on the other runtimes that the package promises to work on:
// newer versions of Node, Bun and Deno. They come from the registry's packages and stay in node_modules/.cache.
//
// usage: node scripts/runtimes.mjs [PACKAGE@VERSION ...]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from './build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(root, 'node_modules', '.cache');
const RUN_TIMEOUT_MS = 60_000;

/** The program of each package, relative to the folder it is installed in, and its arguments before the script. */
const RUNTIMES = {
  node: { program: 'node_modules/node/bin/node', args: [] },
  bun: { program: 'node_modules/.bin/bun', args: ['run'] },
  deno: { program: 'node_modules/.bin/deno', args: ['run', '--allow-all', '--quiet'] },
};
const CHECKED = ['node@22', 'node@24', 'bun@1.4.5', 'deno@2.9.6'];

/** Returns the runtime's program, installed on first use. */
function programOf(spec) {
  const [name] = spec.split('@');
  const runtime = RUNTIMES[name];
  if (runtime === undefined) throw new Error(`Unknown runtime ${spec}. Known: ${Object.keys(RUNTIMES).join(', ')}.`);
  const folder = join(cache, spec.replace('@', '-'));
  const program = join(folder, runtime.program);
  if (existsSync(program)) return { program, args: runtime.args };
  process.stderr.write(`Installing ${spec} …\n`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', spec];
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0 || !existsSync(program)) throw new Error(`${spec} could not be installed from the registry.`);
  return { program, args: runtime.args };
}

/** Returns the first fenced block below a mark of README.md. */
function readmeBlock(mark) {
  const [, text] =
    /```\S+\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8').split(mark)[1] ?? '') ?? [];
  if (text === undefined) throw new Error(`README.md has no code block below ${mark}.`);
  return text;
}

/** Writes the README's first example as TypeScript that imports the built package, and returns its path. */
function writeExample() {
  const entry = pathToFileURL(join(root, 'dist/src/index.js')).href;
  const code = readmeBlock('<!-- first-example -->').replaceAll("'agent-context-cache'", JSON.stringify(entry));
  // Inside the project, because Deno looks for package.json above the script, and outside of node_modules, because Node
  // does not strip the types of files there. Git ignores the folder.
  const folder = join(root, '.context-cache');
  mkdirSync(folder, { recursive: true });
  const file = join(mkdtempSync(join(folder, 'example-')), 'first.mts');
  writeFileSync(file, code);
  return file;
}

/** Runs a script and returns what it printed. */
function run({ program, args }, script) {
  const { status, signal, stdout, stderr, error } = spawnSync(program, [...args, script], {
    encoding: 'utf8',
    timeout: RUN_TIMEOUT_MS,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${script} ended with ${signal ?? `exit code ${status}`}:\n${stdout}${stderr}`);
  return stdout;
}

if (!(await build({ ifNeeded: true }))) process.exit(1);
const example = writeExample();
const expected = readmeBlock('<!-- first-example-output -->');
const smoke = join(root, 'test', 'support', 'smoke.mjs');
const specs = process.argv.length > 2 ? process.argv.slice(2) : CHECKED;
for (const spec of specs) {
  try {
    const runtime = programOf(spec);
    process.stdout.write(run(runtime, smoke));
    const printed = run(runtime, example);
    if (printed !== expected)
      throw new Error(`The README's first example printed:\n${printed}instead of:\n${expected}`);
  } catch (error) {
    process.stderr.write(`${spec}: ${error.message}\n`);
    process.exitCode = 1;
  }
}
rmSync(dirname(example), { recursive: true, force: true });
