// Carries out a file of commands and reports the outcome of each at once, until it is killed.
// node crash-child.mjs OPTIONS (JSON, see crash-process.ts)
//
// It prints one line for each of these, before anything else happens:
//   opening, open, shutdown, done     its progress
//   backup INDEX                      a snapshot begins
//   a INDEX POSITION CHANGED          acknowledged
//   e INDEX CODE                      rejected
//   error MESSAGE                     reported to onError
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { say } from './say.mjs';

const options = JSON.parse(process.argv[2]);
const { dist, dataDir, from, upTo, inFlight, durability, sync, unsynced, mirror, natsUrl, topic, dieAt } = options;
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const { AgentContextCache, FileContextCache } = await load('src/index.js');
const commands = readFileSync(options.commands, 'utf8').split('\n').filter(Boolean).map(JSON.parse);

say('opening');
const cache = await AgentContextCache.open({
  dataDir,
  durability,
  sync,
  natsUrl: natsUrl ?? null,
  ...(topic === undefined ? {} : { topics: [topic] }),
  ...(mirror === undefined ? {} : { secondaryCache: new FileContextCache({ path: mirror }) }),
  backup: { mode: 'manual', keep: 3 },
  // Writes the index often, so that kills hit that too.
  internals: { checkpointMs: 50, ...(unsynced ? await withoutSync() : {}) },
  onError: (error, { source }) => say(`error ${source}: ${error.message}`),
});
say('open');

let next = from;
let acknowledged = 0;
await Promise.all(Array.from({ length: inFlight }, work));
say('shutdown');
const { undelivered, logError } = await cache.shutdown({ timeoutMs: 20_000 });
if (undelivered.length > 0 || logError !== undefined) say(`error ${JSON.stringify(undelivered)} ${logError}`);
say('done');

async function work() {
  while (next < Math.min(upTo, commands.length)) {
    const index = next;
    next += 1;
    await carryOut(index, commands[index]);
    // An acknowledgement at `memory` comes at once. Disk and followers need a turn all the same.
    if (durability === 'memory') await nextTurn();
  }
}

async function carryOut(index, command) {
  const asked = cache.ask(command);
  if (command.type === 'context.backup') say(`backup ${index}`);
  try {
    const { position, changed } = await asked;
    if (position === undefined || changed === undefined) return;
    say(`a ${index} ${position} ${Number(changed)}`);
    acknowledged += 1;
    if (acknowledged === dieAt) process.kill(process.pid, 'SIGKILL');
  } catch (error) {
    say(`e ${index} ${error.code}`);
  }
}

/** Files and a storage engine that never sync. */
async function withoutSync() {
  const { nodeFiles, openLevel } = await load('test/support/internals.js');
  const unsynced = (file) => ({
    write: (parts, offset) => file.write(parts, offset),
    sync: async () => {},
    truncate: (length) => file.truncate(length),
    close: () => file.close(),
  });
  return {
    files: {
      ...nodeFiles,
      create: async (path) => unsynced(await nodeFiles.create(path, false)),
      continue: async (path) => unsynced(await nodeFiles.continue(path, false)),
      syncDirectory: async () => {},
    },
    openStorage: async (location) => {
      const storage = await openLevel(location);
      return { ...storage, batch: (writes) => storage.batch(writes, false) };
    },
  };
}
