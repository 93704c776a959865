// A process that shares a directory: it writes without a pause, changes a counter, and watches everything.
// fork(sharing-child.mjs, [DIST, DATA_DIR, ID, OPTIONS of share as JSON]); reports to its parent by messages.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, dataDir, id, given] = process.argv.slice(2);
const { AgentContextCache } = await import(pathToFileURL(join(dist, 'src/index.js')).href);

/** A process that was asked to shut down twice has no channel any more. */
const tell = (message) => process.connected && process.send(message);

/** Writes in flight at a time. */
const WRITERS = 4;
let isStopped = false;
let report = { acknowledged: [], unknown: [], counted: 0, countedPerhaps: 0 };

const memory = await AgentContextCache.share(dataDir, {
  natsUrl: null,
  backup: { enabled: false },
  onError: () => {},
  ...JSON.parse(given, (name, value) => (name === 'hungAfterMs' ? (value ?? Number.POSITIVE_INFINITY) : value)),
});
tell({ isReady: true });

function send() {
  if (report.acknowledged.length + report.unknown.length + report.counted + report.countedPerhaps > 0) tell(report);
  report = { acknowledged: [], unknown: [], counted: 0, countedPerhaps: 0 };
}
const sending = setInterval(send, 20);

/** Nothing was done: no process held the directory for too long, or this one has closed its client. */
const isExpected = ({ code }) => code === 'UNREACHABLE' || (code === 'CLOSED' && isStopped);

async function write(writer) {
  for (let n = 0; !isStopped; n += 1) {
    const key = `${id}-${writer}-${n}`;
    try {
      const { position } = await memory.set(key, n, 'writes', { ifVersion: 0 });
      report.acknowledged.push([key, position]);
    } catch (error) {
      if (error.code === 'OUTCOME_UNKNOWN') report.unknown.push(key);
      else if (!isExpected(error)) tell({ failure: `set: ${error.stack}` });
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function count() {
  while (!isStopped) {
    try {
      await memory.update('count', (present = 0) => present + 1, 'counter');
      report.counted += 1;
    } catch (error) {
      if (error.code === 'OUTCOME_UNKNOWN') report.countedPerhaps += 1;
      // The others change it, too.
      else if (error.code !== 'VERSION_CONFLICT' && !isExpected(error)) tell({ failure: `update: ${error.stack}` });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

let last = 0;
async function watch() {
  for await (const { position, snapshot, skipped } of memory.watch({ since: 0, bufferSize: 1_000_000 })) {
    if (snapshot || skipped > 0 || position !== last + 1)
      tell({ failure: `watch: ${position} after ${last}, snapshot ${snapshot}, skipped ${skipped}` });
    last = position;
  }
}

const working = [...Array.from({ length: WRITERS }, (_, writer) => write(writer)), count()];
const watching = watch().catch((error) => tell({ failure: `watch: ${error.stack}` }));

const actions = {
  /** Ends the writing. */
  async rest() {
    isStopped = true;
    await Promise.all(working);
    send();
  },
  /** Resolves once the watch has come to a position. */
  async watched(position) {
    while (last < position) await new Promise((resolve) => setTimeout(resolve, 10));
    return last;
  },
  /** Takes back a write, and marks what is based on it. */
  async retract(position) {
    return memory.retract(position, { reason: 'misread', agent: 'operator', cascade: 'mark' });
  },
  async head() {
    return (await memory.health()).log.head;
  },
  async shutdown() {
    isStopped = true;
    await memory.shutdown();
    await Promise.all(working);
    await watching;
    clearInterval(sending);
    send();
  },
};

process.on('message', async ({ action, argument }) => {
  try {
    tell({ answer: (await actions[action](argument)) ?? null });
  } catch (error) {
    tell({ answer: null, failure: `${action}: ${error.stack}` });
  }
  if (action === 'shutdown' && process.connected) process.disconnect();
});
