// Provides the nats-server releases that the cluster's tests need, beside the one that the machine has. They come from newer releases
// of Debian and are unpacked, not installed. A release is fetched once.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DEBIAN = 'http://deb.debian.org/debian';
const POOL = `${DEBIAN}/pool/main/n/nats-server`;
const APT_HELPER = '/usr/lib/apt/apt-helper';
const APT = ['-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=15', '-o', 'APT::Sandbox::User=root'];

/** The package of each release line. A test finds the program in a folder named by `line`, or by `variable`. */
const releases = [
  {
    line: '2.10',
    variable: 'NATS_SERVER_2_10',
    suite: 'trixie',
    version: '2.10.27',
    archives: {
      amd64: {
        file: 'nats-server_2.10.27-1+b2_amd64.deb',
        sha256: '6d913ac987b78734c08537c2adeb1526cf735f216173a9170d94b185fcfe6f8a',
      },
    },
  },
  {
    line: '2.15',
    variable: 'NATS_SERVER_2_15',
    suite: 'sid',
    version: '2.15.1',
    archives: {
      amd64: {
        file: 'nats-server_2.15.1-1_amd64.deb',
        sha256: '31ef4ceaa84e8248d449e508472e3770c17c3695cb5cb0ee96e03912724ea884',
      },
    },
  },
];

/** Runs a program and shows its output only if it fails. */
function run(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    ...options,
  });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? (stderr.trim() || stdout.trim())}`);
  return stdout;
}

/**
 * Puts each missing release into `folder`. Without network, or on a system without apt, it leaves a file that says why, and the
 * cluster's tests on that release are skipped with this reason.
 */
export function provideNatsReleases(folder, say) {
  for (const release of releases) {
    const target = join(folder, release.line);
    if (process.env[release.variable] || existsSync(join(target, 'nats-server'))) continue;
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    const scratch = join(target, 'scratch');
    mkdirSync(scratch);
    try {
      const archive = pinned(release, scratch) ?? present(release, scratch);
      run('dpkg', ['-x', archive, join(scratch, 'root')]);
      copyFileSync(programIn(join(scratch, 'root')), join(target, 'nats-server'));
      chmodSync(join(target, 'nats-server'), 0o755);
      const version = run(join(target, 'nats-server'), ['--version']).match(/v(\d[\w.-]*)/)?.[1];
      if (version === release.version) say(`nats-server ${version} is there for the tests of the cluster.`);
      else say(`Debian no longer has nats-server ${release.version}. The tests of the cluster use its ${version}.`);
    } catch (error) {
      rmSync(join(target, 'nats-server'), { force: true });
      const reason = `nats-server ${release.version} could not be fetched: ${error.message}`;
      writeFileSync(join(target, 'missing'), reason);
      say(
        `${reason}\nSet ${release.variable} to its path; without it the cluster's tests on this release are skipped.`,
      );
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
}

/** Fetches the package that is named here and checks its bytes. Returns `undefined` if Debian no longer has it. */
function pinned({ archives }, scratch) {
  const known = archives[run('dpkg', ['--print-architecture']).trim()];
  if (known === undefined) return undefined;
  const path = join(scratch, known.file);
  try {
    run(APT_HELPER, [...APT, 'download-file', `${POOL}/${known.file}`, path, `SHA256:${known.sha256}`]);
    return path;
  } catch (error) {
    rmSync(path, { force: true });
    if (/\b404\b/.test(error.message)) return undefined;
    throw error;
  }
}

/** Fetches the package that the suite has now. Apt checks it against Debian's signatures, with package lists of its own. */
function present({ suite }, scratch) {
  mkdirSync(join(scratch, 'lists', 'partial'), { recursive: true });
  const sources = join(scratch, 'sources.list');
  writeFileSync(sources, `deb ${DEBIAN} ${suite} main\n`);
  const own = [
    ...['-o', `Dir::Etc::SourceList=${sources}`, '-o', 'Dir::Etc::SourceParts=/dev/null'],
    ...['-o', `Dir::State::Lists=${join(scratch, 'lists')}`, '-o', `Dir::Cache=${join(scratch, 'apt')}`],
    ...['-o', 'Debug::NoLocking=1'],
  ];
  run('apt-get', [...APT, ...own, 'update', '-q']);
  run('apt-get', [...APT, ...own, 'download', '-q', 'nats-server'], { cwd: scratch });
  return join(
    scratch,
    readdirSync(scratch).find((name) => name.endsWith('.deb')),
  );
}

function programIn(root) {
  const found = ['usr/sbin', 'usr/bin'].map((place) => join(root, place, 'nats-server')).find(existsSync);
  if (found === undefined) throw new Error('the package holds no program nats-server');
  return found;
}
