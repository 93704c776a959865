// Measures how many writes a second reach the disk, by the number of callers that wait at a time. The limit appends as many
// bytes to a file.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { check, checkSame } from './lib/check.mjs';
import { GroupFile } from './lib/group-file.mjs';
import { AgentContextCache } from './lib/ours.mjs';
import { bytesInLog, updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
const NAMESPACES = Array.from({ length: 100 }, (_, i) => `agent/${i}`);
/** The warm-up uses the numbers below it. */
const MEASURED_FROM = 10_000_000;
const placeOf = (i) => [NAMESPACES[i % 100], KEYS[i % KEYS.length]];

export default {
  order: 5,
  title: 'durable `set`',
  about:
    'acknowledged writes of a small object that are on disk, by callers that wait at a time; the raw file grows with each append, the log writes into space that was added before, so a single caller can be ahead of it',
  metrics: {
    rate: { unit: '/s', better: 'more', what: '' },
    // Only Linux tells it by thread.
    ...(process.platform === 'linux' && {
      cpu: { unit: 'ns', better: 'less', what: 'processor of the writing thread for a write' },
    }),
  },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.8, text: '80 % of the raw append' }],
  servers: { redis: ['--appendonly', 'yes', '--appendfsync', 'always'] },
  cases: ({ quick }) =>
    [1, 16, 256, 4_096].map((inFlight) => ({
      name: `${inFlight.toLocaleString('en')} in flight`,
      headline: inFlight === 1 || inFlight === 256 || inFlight === 4_096,
      inFlight,
      ms: quick ? 120 : 1_500,
    })),
  candidates: [
    { name: 'raw append and fdatasync', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
    { name: 'SQLite in WAL mode, synchronous', role: 'rival' },
    { name: 'Redis, appendfsync always', role: 'rival' },
  ],
  async measure(context) {
    const writer = await WRITERS[context.candidate](context);
    const { inFlight, ms } = context.case;
    await wait(writer, inFlight, ms / 4, 0);
    const began = performance.now();
    const busy = ofThisThread();
    const done = await wait(writer, inFlight, ms, MEASURED_FROM);
    const rate = (done / (performance.now() - began)) * 1_000;
    const cpu = ((ofThisThread() - busy) * 1e6) / done;
    await writer.check(MEASURED_FROM, done);
    return Number.isNaN(cpu) ? { rate } : { rate, cpu };
  },
  plots: ({ cases, candidates = cases[0].candidates }) => ({
    'in-flight': {
      title: 'durable writes a second',
      x: 'callers that wait at a time',
      y: 'writes a second',
      lines: candidates.map(({ name, role }) => ({
        name,
        limit: role === 'limit',
        points: cases.flatMap(({ parameters, candidates: all }) => {
          const rate = all.find((each) => each.name === name)?.metrics?.rate.median;
          return rate === undefined ? [] : [[parameters.inFlight, rate]];
        }),
      })),
    },
  }),
};

/** Returns the milliseconds of the processor that the main thread has used, as Linux counts them, in steps of 10; else NaN. */
function ofThisThread() {
  if (process.platform !== 'linux') return Number.NaN;
  const fields = readFileSync(`/proc/self/task/${process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Keeps a number of writes in flight for a time, and returns how many there were. */
async function wait(writer, inFlight, ms, from) {
  const end = performance.now() + ms;
  if (writer.together !== undefined) {
    let next = from;
    for (; performance.now() < end; next += inFlight) {
      writer.together(next, inFlight);
      await nextTurn();
    }
    return next - from;
  }
  let next = from;
  const worker = async () => {
    while (performance.now() < end) {
      const i = next;
      next += 1;
      await writer.write(i);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return next - from;
}

const WRITERS = {
  'raw append and fdatasync': ({ dir, case: { inFlight } }) => {
    const updates = Array.from({ length: inFlight }, (_, i) => updateOf(i, ...placeOf(i), VALUES.small(i)));
    const bytes = Buffer.alloc(bytesInLog(updates), 'x');
    const file = new GroupFile(join(dir, 'raw.log'));
    let count = 0;
    return {
      write(_) {
        count += 1;
        return file.append(bytes);
      },
      check() {
        checkSame(file.bytes, count * bytes.length, 'the size of the file');
        file.close();
      },
    };
  },

  'agent-context-cache': async ({ dir }) => {
    const dataDir = join(dir, 'data');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    return {
      write(i) {
        const [namespace, key] = placeOf(i);
        return cache.set(key, VALUES.small(i), namespace);
      },
      async check(from, done) {
        const { position } = cache;
        await cache.shutdown({ timeoutMs: 60_000 });
        const again = await AgentContextCache.open({ dataDir, natsUrl: null });
        checkSame(again.position, position, 'the position after a restart');
        await lastOnesAreThere((namespace, key) => again.get(key, namespace), from, done);
        await again.shutdown();
      },
    };
  },

  'SQLite in WAL mode, synchronous': async ({ dir }) => {
    const { default: Database } = await import('libsql');
    const db = new Database(join(dir, 'sqlite.db'));
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.exec('CREATE TABLE entries (namespace TEXT, key TEXT, value TEXT, PRIMARY KEY (namespace, key)) WITHOUT ROWID');
    const put = db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?)');
    return {
      // SQLite has no waiting callers: everything that would wait is one transaction.
      together: db.transaction((from, many) => {
        for (let i = from; i < from + many; i += 1) {
          const [namespace, key] = placeOf(i);
          put.run(namespace, key, JSON.stringify(VALUES.small(i)));
        }
      }),
      async check(from, done) {
        db.close();
        const again = new Database(join(dir, 'sqlite.db'));
        const find = again.prepare('SELECT value FROM entries WHERE namespace = ? AND key = ?');
        await lastOnesAreThere((namespace, key) => JSON.parse(find.get(namespace, key).value), from, done);
        again.close();
      },
    };
  },

  'Redis, appendfsync always': async ({ redis: url }) => {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url);
    await redis.flushall();
    return {
      write(i) {
        const [namespace, key] = placeOf(i);
        return redis.set(`${namespace}:${key}`, JSON.stringify(VALUES.small(i)));
      },
      async check(from, done) {
        checkSame((await redis.config('GET', 'appendfsync'))[1], 'always', 'appendfsync');
        await lastOnesAreThere(
          async (namespace, key) => JSON.parse(await redis.get(`${namespace}:${key}`)),
          from,
          done,
        );
        redis.disconnect();
      },
    };
  },
};

/** Returns the last value of each of the last keys that were written. */
async function lastOnesAreThere(get, from, done) {
  check(done > 0, 'nothing was written');
  const last = from + done - 1;
  for (let i = last; i > Math.max(from, last - 200); i -= 1) {
    checkSame(await get(...placeOf(i)), VALUES.small(i), `write ${i}`);
  }
}
