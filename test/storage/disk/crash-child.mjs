// Appends groups of random size as fast as they are committed and prints how far that is, until it is killed. After
// MOST commits it appends no more: the process that kills it may be delayed, and the log must not grow meanwhile.
// Usage: node crash-child.mjs DIST DATA_DIR SEED MOST
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, dataDir, seed, most] = process.argv.slice(2);
const { createUpdate, DataDirectory, systemClock } = await import(
  pathToFileURL(join(dist, 'test/support/internals.js')).href
);

let random = Number(seed) >>> 0;
const upTo = (limit) => {
  random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
  return (random >>> 8) % limit;
};

const directory = await DataDirectory.open({ dataDir, clock: systemClock });
const { log } = directory;
await directory.openIndex();
let commits = 0;
log.onCommit(() => {
  commits += 1;
  process.stdout.write(`${log.committed}\n`);
});
keepIndex();

for (let inFlight = 0; inFlight < 20; inFlight += 1) write();

async function write() {
  while (commits < Number(most)) {
    // The namespace is never cleared, so its version is the position; `agent` gives the size of the group.
    const size = 1 + upTo(9);
    const bytes = upTo(200) === 0 ? 200_000 : upTo(200);
    const updates = Array.from({ length: size }, (_, index) => {
      const version = log.head + 1 + index;
      const value = `${version}:`.padEnd(bytes, 'x');
      return createUpdate({
        namespace: 'n',
        version,
        operation: 'set',
        key: `k${version % 500}`,
        value,
        at: version,
        agent: `${index}/${size}`,
        bytes,
      });
    });
    log.append(updates);
    await log.whenCommitted(updates[size - 1].position);
  }
}

async function keepIndex() {
  for (;;) {
    if (log.committed > directory.index.table.checkpoint) await directory.index.fold(log.committed);
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
