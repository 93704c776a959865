// Measures what an inspector costs a write: without a page, and with a page in another process that shows what changes most.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { checkSame } from './lib/check.mjs';
import { fill } from './lib/fill.mjs';
import { startInspector } from './lib/ours.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { makeSpace } from './lib/space.mjs';
import { makeStore } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';

const BURST = 1_000;
const LOOK_MS = 50;

export default {
  order: 18,
  title: 'an inspector',
  about:
    'a write of a small object, in bursts of 1,000 with a turn of the event loop after each; looked at are the overview, ' +
    'the actors and all updates, in nanoseconds',
  metrics: COST,
  cases: ({ quick }) => {
    const size = quick ? { keys: 1_000, namespaces: 10 } : { keys: 100_000, namespaces: 100 };
    return [
      {
        name: 'no page is open',
        headline: true,
        ...size,
        goals: [{ ofLimit: 1.1, text: 'free with no page open' }],
      },
      {
        name: 'a page is open',
        headline: true,
        looked: true,
        ...size,
        goals: [{ ofLimit: 2, text: 'at least half speed with a page open' }],
      },
    ];
  },
  candidates: [
    { name: 'no inspector', role: 'limit' },
    { name: 'agent-context-cache', role: 'ours' },
  ],
  async measure({ candidate, case: { keys, namespaces, looked }, scale, seed }) {
    const space = makeSpace({ keys, namespaces }, seed);
    const store = await makeStore('agent-context-cache', {});
    await fill(store, space, VALUES.small);
    const inspector = candidate === 'no inspector' ? undefined : await startInspector(store.cache);
    const onlooker = looked && inspector ? await lookFrom(inspector) : undefined;
    const run = (from, many) => {
      for (let j = from; j < from + many; j += 1) {
        const i = space.order[j % space.count];
        store.set(space.namespaceOf[i], space.keyOf[i], VALUES.small(j));
      }
    };
    const { done, ...cost } = await nanosecondsPerOperation(run, paceOf(scale), BURST);
    if (onlooker !== undefined)
      checkSame(await onlooker.saw(store.cache.position), true, 'the page saw the last update');
    checkSame(done > 0, true, 'something was written');
    await inspector?.close();
    await store.close();
    return cost;
  },
};

/** A page's connection, in another process, that has received the first message of every feed. */
async function lookFrom({ port, token }) {
  const child = fork(join(import.meta.dirname, 'lib/onlooker.mjs'), [String(port), token], { execArgv: [] });
  process.on('exit', () => child.kill('SIGKILL'));
  await once(child, 'message');
  return {
    async saw(position) {
      for (let tries = 0; tries < 200; tries += 1) {
        child.send('how far');
        const [seen] = await once(child, 'message');
        if (seen === position) return true;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      return false;
    },
  };
}
