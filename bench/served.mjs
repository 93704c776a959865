// Measures a cache that another process serves. The limit is a bare round trip on loopback with as many bytes.
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { check, checkSame } from './lib/check.mjs';
import { connect } from './lib/ours.mjs';
import { ANSWER_BYTES, framesOf, gathered, REQUEST_BYTES, serveElsewhere } from './lib/served.mjs';
import { VALUES } from './lib/values.mjs';

const KEYS = 10_000;
const NAMESPACE = 'agent';
const keyOf = (i) => `key-${i % KEYS}`;
/** The warm-up uses the numbers below it. */
const MEASURED_FROM = 10_000_000;
const HTTP = 'HTTP, a request each';
const OF_BARE = [{ ofLimit: 0.5, text: 'half the rate of a bare round trip' }];

export default {
  order: 18,
  title: 'a served cache',
  about: 'calls a second of a client in another process, with a small object',
  metrics: {
    rate: { unit: '/s', better: 'more', what: '' },
    p50: { unit: 'ns', better: 'less', what: 'median time of a call' },
  },
  ratioStyle: 'share',
  servers: { redis: [] },
  cases: ({ quick }) =>
    [
      { name: '`set`, 256 in flight', inFlight: 256, goals: [{ ahead: 5, of: [HTTP], text: '5× ahead of HTTP' }] },
      { name: '`set`, one at a time', inFlight: 1, goals: OF_BARE },
      { name: '`get`, one at a time', inFlight: 1, reads: true, goals: OF_BARE },
    ].map((each) => ({ ...each, headline: true, ms: quick ? 120 : 1_500 })),
  candidates: [
    { name: 'frames over TCP, echoed', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
    { name: 'Redis, ioredis with autopipelining', role: 'rival' },
    { name: HTTP, role: 'rival' },
  ],
  async measure({ candidate, case: { inFlight, reads = false, ms }, redis }) {
    const client = await CLIENTS[candidate](redis);
    for (let i = 0; i < KEYS; i += 256) {
      await Promise.all(Array.from({ length: 256 }, (_, j) => client.set(keyOf(i + j), VALUES.small(i + j))));
    }
    const call = reads ? (i) => client.get(keyOf(i)) : (i) => client.set(keyOf(i), VALUES.small(i));
    await wait(call, inFlight, ms / 2, 0);
    const began = performance.now();
    const { done, times } = await wait(call, inFlight, ms, MEASURED_FROM);
    const rate = (done / (performance.now() - began)) * 1_000;
    await client.check(reads ? undefined : MEASURED_FROM + done - 1);
    await client.close();
    times.sort((a, b) => a - b);
    return { rate, p50: times[times.length >> 1] * 1e6 };
  },
};

/** Keeps a number of calls in flight for a time. Returns how many ended, and how long each took. */
async function wait(call, inFlight, ms, from) {
  const end = performance.now() + ms;
  const times = [];
  let next = from;
  const worker = async () => {
    for (let began = performance.now(); began < end; began = performance.now()) {
      const i = next;
      next += 1;
      await call(i);
      times.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { done: next - from, times };
}

const CLIENTS = {
  'frames over TCP, echoed': async () => {
    const { port, close } = await serveElsewhere('echo');
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const waiting = [];
    let answered = 0;
    socket.on(
      'data',
      framesOf(ANSWER_BYTES, () => {
        waiting[answered++]();
      }),
    );
    const frame = Buffer.alloc(REQUEST_BYTES);
    const send = gathered((bytes) => socket.write(bytes));
    const ask = () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        send(frame);
      });
    return {
      ...{ set: ask, get: ask, close },
      check: () => checkSame(answered, waiting.length, 'the number of answers'),
    };
  },

  'agent-context-cache': async () => {
    const server = await serveElsewhere('cache');
    const remote = await connect(server.url, { token: server.token });
    return {
      set: (key, value) => remote.set(key, value, NAMESPACE),
      get: (key) => remote.get(key, NAMESPACE),
      check: async (last) => checkLast(await remote.get(keyOf(last ?? 0), NAMESPACE), last),
      async close() {
        await remote.shutdown();
        server.close();
      },
    };
  },

  'Redis, ioredis with autopipelining': async (url) => {
    const { Redis } = await import('ioredis');
    const redis = new Redis(url, { enableAutoPipelining: true });
    const get = async (key) => JSON.parse(await redis.get(`${NAMESPACE}:${key}`));
    return {
      ...{ get, set: (key, value) => redis.set(`${NAMESPACE}:${key}`, JSON.stringify(value)) },
      check: async (last) => checkLast(await get(keyOf(last ?? 0)), last),
      close: () => redis.disconnect(),
    };
  },

  [HTTP]: async () => {
    const server = await serveElsewhere('cache');
    const agent = new Agent({ keepAlive: true, maxSockets: 256 });
    const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' };
    const post = (command) =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port: server.port, method: 'POST', path: '/v1/command', headers, agent };
        const sent = request(options, async (response) => {
          let text = '';
          for await (const piece of response.setEncoding('utf8')) text += piece;
          resolve(JSON.parse(text).ok);
        });
        sent.on('error', reject);
        sent.end(JSON.stringify(command));
      });
    const get = (key) => post({ type: 'context.get', key, namespace: NAMESPACE });
    return {
      ...{ get, set: (key, value) => post({ type: 'context.set', key, value, namespace: NAMESPACE }) },
      check: async (last) => checkLast(await get(keyOf(last ?? 0)), last),
      close() {
        agent.destroy();
        server.close();
      },
    };
  },
};

/** Checks that the last write is there. Other keys may hold what a later number has written. */
function checkLast(value, last) {
  check(value !== undefined && value !== null, 'nothing was written');
  if (last !== undefined) checkSame(value, VALUES.small(last), 'the last value');
}
