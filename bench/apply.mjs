// Measures how fast the command line applies a file of commands, durably. The limit appends the same bytes in the same
// groups.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSame } from './lib/check.mjs';
import { GroupFile } from './lib/group-file.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { bytesInLog, updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const CLI = join(import.meta.dirname, '../dist/src/cli/main.js');
/** Half of the command line's window: one half is written while the other gathers. */
const GROUP = 4_096;
const placeOf = (i) => [`agent/${i % 100}`, `key-${i % 10_000}`];

export default {
  order: 6,
  title: '`context-cache apply` of a file',
  about: 'commands a second, read, decided and on disk; the start of the process is taken off',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.8, text: '80 % of the raw append' }],
  cases: ({ quick }) => [
    quick
      ? { name: '5,000 commands', lines: 5_000 }
      : { name: '200 thousand commands of a small object', headline: true, lines: 200_000 },
  ],
  candidates: [
    { name: 'raw append and fdatasync', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  prepare({ dir, case: { lines } }) {
    const files = { commands: join(dir, 'commands.ndjson'), empty: join(dir, 'empty.ndjson') };
    const text = Array.from({ length: lines }, (_, i) => {
      const [namespace, key] = placeOf(i);
      return `${JSON.stringify({ type: 'context.set', namespace, key, value: VALUES.small(i) })}\n`;
    });
    writeFileSync(files.commands, text.join(''));
    writeFileSync(files.empty, '');
    return files;
  },
  async measure({ candidate, case: { lines }, dir, prepared }) {
    const ms = candidate === 'agent-context-cache' ? await applied(dir, lines, prepared) : await appended(dir, lines);
    return { rate: (lines / ms) * 1_000 };
  },
};

async function applied(dir, lines, { commands, empty }) {
  const start = run(empty, join(dir, 'empty'));
  const dataDir = join(dir, 'data');
  const whole = run(commands, dataDir);
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  checkSame(cache.position, lines, 'the position');
  for (let i = lines - 100; i < lines; i += 1) {
    const [namespace, key] = placeOf(i);
    checkSame(cache.get(key, namespace), VALUES.small(i), `command ${i}`);
  }
  await cache.shutdown();
  return whole - start;
}

function run(file, dataDir) {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [CLI, 'apply', file, '--data-dir', dataDir], {
    encoding: 'utf8',
  });
  check(status === 0, stderr);
  return performance.now() - began;
}

async function appended(dir, lines) {
  const updates = Array.from({ length: Math.min(lines, GROUP) }, (_, i) => updateOf(i, ...placeOf(i), VALUES.small(i)));
  const size = bytesInLog(updates);
  const file = new GroupFile(join(dir, 'raw.log'));
  const began = performance.now();
  for (let i = 0; i < lines; i += GROUP) await file.append(Buffer.alloc(size * Math.min(GROUP, lines - i)));
  const ms = performance.now() - began;
  checkSame(file.bytes, size * lines, 'the size of the file');
  file.close();
  return ms;
}
