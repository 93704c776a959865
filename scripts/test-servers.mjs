// Provides a real redis-server, nats-server and Chromium for the tests. Prints nothing if all are there, installs the missing ones
// on Debian, and says how to get them elsewhere. Promtool, which one test needs, is fetched too if it can be had, and so are the
// releases of nats-server that the tests of the cluster need.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { provideNatsReleases } from './nats-releases.mjs';

const cache = fileURLToPath(new URL('../node_modules/.cache/test-servers', import.meta.url));
const servers = [
  { name: 'redis-server', variable: 'REDIS_SERVER' },
  { name: 'nats-server', variable: 'NATS_SERVER' },
  // The program on PATH is a script that works only in Debian's own folder.
  {
    name: 'chromium',
    variable: 'CHROMIUM',
    unpacked: 'usr/lib/chromium/chromium',
    proof: ['--no-sandbox', '--version'],
  },
];

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Searches the same folders in the same order as test/support/server-process.ts. */
function find({ name, variable }) {
  const named = process.env[variable];
  if (named) {
    if (executable(named)) return named;
    throw new Error(`${variable} names ${named}, which cannot be run.`);
  }
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', join(cache, 'bin')];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(executable);
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs a program and shows its output only if it fails. */
function run(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    ...options,
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `${stdout}${stderr}`}`);
  return stdout;
}

/** Installs packages as root, without starting their services. */
function install(names) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', ['update', '-q']);
    run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...names]);
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

/** Unpacks packages and their missing dependencies beside the other caches, without root. */
function unpack(names) {
  rmSync(cache, { recursive: true, force: true });
  const archives = join(cache, 'archives');
  mkdirSync(join(cache, 'lists', 'partial'), { recursive: true });
  mkdirSync(archives, { recursive: true });
  const apt = ['-o', `Dir::State::Lists=${join(cache, 'lists')}`, '-o', `Dir::Cache=${join(cache, 'apt')}`];
  run('apt-get', [...apt, '-o', 'Debug::NoLocking=1', 'update', '-q']);
  run('apt-get', [...apt, 'download', '-q', ...missingPackages(apt, names)], { cwd: archives });
  const tree = join(cache, 'root');
  for (const archive of readdirSync(archives)) run('dpkg', ['-x', join(archives, archive), tree]);
  mkdirSync(join(cache, 'bin'));
  for (const name of names) wrap(name, tree);
  rmSync(archives, { recursive: true });
  rmSync(join(cache, 'lists'), { recursive: true });
  rmSync(join(cache, 'apt'), { recursive: true, force: true });
}

/** Returns `names` and their dependencies, without those that are installed. */
function missingPackages(apt, names) {
  const cacheArgs = ['depends', '--recurse', '--no-recommends', '--no-suggests', '--no-conflicts', '--no-breaks'];
  const listing = run('apt-cache', [...apt, ...cacheArgs, '--no-replaces', '--no-enhances', ...names]);
  const wanted = listing.split('\n').filter((line) => /^[a-z0-9]/.test(line));
  const selections = run('dpkg', ['--get-selections']).split('\n');
  const installed = new Set(selections.map((line) => line.match(/^([^\s:]+)\S*\s+install$/)?.[1]));
  return [...new Set(wanted.map((name) => name.replace(/:.*/, '')))].filter((name) => !installed.has(name));
}

/** Writes a start script with which the unpacked program finds the libraries unpacked beside it. */
function wrap(name, tree) {
  const { unpacked, proof = ['--version'] } = servers.find((server) => server.name === name);
  const places = unpacked === undefined ? ['usr/bin', 'usr/sbin'].map((folder) => `${folder}/${name}`) : [unpacked];
  const program = places.map((place) => join(tree, place)).find(executable);
  if (program === undefined) throw new Error(`The package ${name} does not hold a program of that name.`);
  const libraries = readdirSync(tree, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.so(\.\d+)*$/.test(path))
    .map((path) => join(tree, path, '..'));
  const script = `#!/bin/sh\nLD_LIBRARY_PATH='${[...new Set(libraries)].join(':')}' exec '${program}' "$@"\n`;
  writeFileSync(join(cache, 'bin', name), script, { mode: 0o755 });
  run(join(cache, 'bin', name), proof);
}

/**
 * Takes the program promtool out of Debian's package prometheus, and puts it beside the other caches: to install the package would
 * take 330 MB and start a service. Without it one test is skipped.
 */
function providePromtool() {
  if (find({ name: 'promtool', variable: 'PROMTOOL' }) !== undefined) return;
  const folder = join(cache, 'promtool');
  try {
    if (!executable('/usr/bin/apt-get')) throw new Error('There is no apt-get here to get it with.');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, 'lists', 'partial'), { recursive: true });
    const apt = ['-o', `Dir::State::Lists=${join(folder, 'lists')}`, '-o', `Dir::Cache=${join(folder, 'apt')}`];
    run('apt-get', [...apt, '-o', 'Debug::NoLocking=1', 'update', '-q']);
    run('apt-get', [...apt, 'download', '-q', 'prometheus'], { cwd: folder });
    const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
    run('dpkg', ['-x', join(folder, archive), folder]);
    mkdirSync(join(cache, 'bin'), { recursive: true });
    copyFileSync(join(folder, 'usr', 'bin', 'promtool'), join(cache, 'bin', 'promtool'));
  } catch (error) {
    say(`${error.message}\nWithout promtool (Debian: the package prometheus) one test is skipped.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function main() {
  const missing = servers.filter((server) => find(server) === undefined);
  if (missing.length === 0) return;
  const names = missing.map((server) => server.name);
  say(`The tests need ${names.join(' and ')}, which this machine does not have.`);
  try {
    if (!executable('/usr/bin/apt-get')) throw new Error('There is no apt-get here to get it with.');
    const isRoot = process.getuid?.() === 0;
    say(isRoot ? 'Installing the Debian packages, without starting their services …' : `Unpacking into ${cache} …`);
    if (isRoot) install(names);
    else unpack(names);
    const still = missing.filter((server) => find(server) === undefined);
    if (still.length > 0) throw new Error(`${still[0].name} is still not there.`);
    say('Done.');
  } catch (error) {
    say(error.message);
    const variables = missing.map(({ name, variable }) => `${variable}=/path/to/${name}`).join(' ');
    say(`Install ${names.join(' and ')} (Debian: apt-get install ${names.join(' ')}), or set ${variables}`);
    process.exitCode = 1;
  }
}

try {
  main();
  providePromtool();
  provideNatsReleases(join(cache, 'nats'), say);
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
