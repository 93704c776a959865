// Measures how many updates a second reach a subscriber in another process, on one topic.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { check, checkSame } from './lib/check.mjs';
import { AgentContextCache, ContextUpdateProcessor } from './lib/ours.mjs';
import { subscribeElsewhere } from './lib/subscribe.mjs';
import { updateOf } from './lib/updates.mjs';
import { VALUES } from './lib/values.mjs';

const TOPIC = 'bench.context';
const NAMESPACE = 'agent/1';
const BURST = 1_000;

export default {
  order: 7,
  title: 'broadcast',
  about: 'updates a second that have reached a subscriber in another process, on one topic',
  metrics: { rate: { unit: '/s', better: 'more', what: '' } },
  ratioStyle: 'share',
  goals: [{ ofLimit: 0.8, text: '80 % of the loop' }],
  servers: { nats: [] },
  cases: ({ quick }) => [
    { name: 'small object', headline: true, make: 'small', messages: quick ? 3_000 : 100_000 },
    { name: '1 KiB object', headline: true, make: 'kib', messages: quick ? 1_000 : 40_000 },
  ],
  candidates: [
    { name: 'JSON.stringify and publish in a loop', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
    { name: 'raw PUB bytes on a socket', role: 'yardstick' },
    { name: 'connect, publish, close for each', role: 'rival' },
  ],
  async measure({ candidate, case: { make, messages }, scale, nats: url }) {
    const count = candidate === 'connect, publish, close for each' ? (scale.quick ? 20 : 300) : messages;
    const value = VALUES[make];
    // A warm-up as long as the run itself: a short run would measure the compilers.
    await run(candidate, url, count, value);
    const ms = await run(candidate, url, count, value);
    return { rate: (count / ms) * 1_000 };
  },
};

async function run(candidate, url, count, value) {
  const publisher = await PUBLISHERS[candidate](url, count, value);
  const subscriber = await subscribeElsewhere(url, TOPIC, count);
  try {
    const began = performance.now();
    await publisher.send();
    await subscriber.all;
    const ms = performance.now() - began;
    const report = await subscriber.report;
    checkSame(report.keys, count, 'the number of updates that came');
    const { event_data: data } = JSON.parse(report.last);
    const i = Number(data.key.slice('key-'.length));
    checkSame(data, { operation: 'set', namespace: NAMESPACE, key: `key-${i}`, value: value(i) }, 'the last message');
    check(report.bytes > count * 100, 'the messages are too short');
    return ms;
  } finally {
    subscriber.close();
    await publisher.close();
  }
}

const LOG = '5f0c7a52-4a4e-4a6e-8f4a-6d0a7c1b2e3f';

/** The public message, written by `JSON.stringify`. */
function messageOf(i, value) {
  return JSON.stringify({
    event_type: 'context_update',
    sender_subject_id: null,
    event_data: { operation: 'set', namespace: NAMESPACE, key: `key-${i}`, value: value(i) },
    event_id: `${LOG}-${i + 1}`,
    position: i + 1,
    version: i + 1,
    at: 1_795_395_305_709,
  });
}

const PUBLISHERS = {
  'JSON.stringify and publish in a loop': async (url, count, value) => {
    const { connect } = await import('@nats-io/transport-node');
    const connection = await connect({ servers: url });
    return {
      async send() {
        for (let i = 0; i < count; ) {
          for (const end = Math.min(count, i + BURST); i < end; i += 1) connection.publish(TOPIC, messageOf(i, value));
          await nextTurn();
        }
        await connection.flush();
      },
      close: () => connection.close(),
    };
  },

  'agent-context-cache': async (url, count, value) => {
    // Room for all updates, so that no later one replaces an earlier one.
    const log = { capacityUpdates: count + 1, capacityBytes: 2 ** 31 };
    const cache = new AgentContextCache({ natsUrl: url, topics: [TOPIC], log });
    await cache.synced({ timeoutMs: 10_000 });
    return {
      async send() {
        for (let i = 0; i < count; ) {
          for (const end = Math.min(count, i + BURST); i < end; i += 1) cache.set(`key-${i}`, value(i), NAMESPACE);
          await nextTurn();
        }
        await cache.synced({ timeoutMs: 600_000 });
      },
      close: () => cache.shutdown(),
    };
  },

  'raw PUB bytes on a socket': async (url, count, value) => {
    const { port, hostname } = new URL(url);
    const socket = createConnection({ port: Number(port), host: hostname });
    socket.setNoDelay(true);
    await once(socket, 'data');
    socket.write('CONNECT {"verbose":false,"pedantic":false}\r\n');
    socket.on('data', (data) => data.includes('PING') && socket.write('PONG\r\n'));
    const encoder = new ContextUpdateProcessor({ log: LOG, subjectId: null });
    // Created beforehand, so that only socket, server and subscriber are measured.
    const chunks = [];
    for (let i = 0; i < count; i += BURST) {
      const some = Array.from({ length: Math.min(BURST, count - i) }, (_, j) => {
        const { payload } = encoder.process(updateOf(i + j, NAMESPACE, `key-${i + j}`, value(i + j)));
        return `PUB ${TOPIC} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`;
      });
      chunks.push(Buffer.from(some.join('')));
    }
    return {
      async send() {
        for (const chunk of chunks) if (!socket.write(chunk)) await once(socket, 'drain');
      },
      close: () => socket.destroy(),
    };
  },

  'connect, publish, close for each': async (url, count, value) => {
    const { connect } = await import('@nats-io/transport-node');
    return {
      async send() {
        for (let i = 0; i < count; i += 1) {
          const connection = await connect({ servers: url });
          connection.publish(TOPIC, messageOf(i, value));
          await connection.drain();
        }
      },
      close: () => {},
    };
  },
};
