// Moves amounts between two namespaces, many transfers at a time, and prints the number of each one that is acknowledged, until it
// is killed. After MOST of them it starts no more.
// node transfer-child.mjs DIST DATA_DIR DURABILITY MOST
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, dataDir, durability, most] = process.argv.slice(2);
const { AgentContextCache } = await import(pathToFileURL(join(dist, 'src/index.js')).href);
const cache = await AgentContextCache.open({ dataDir, durability, natsUrl: null, onError: () => {} });

let number = cache.get('number', 'count') ?? 0;
const end = number + Number(most);
await Promise.all(Array.from({ length: 12 }, transferAll)).catch((error) => {
  // The power is cut, and the kill is to follow.
  if (error.code !== 'LOG_UNAVAILABLE' && error.code !== 'OUTCOME_UNKNOWN') throw error;
  console.error(`${error}`);
});
await new Promise(() => setInterval(() => {}, 1_000));

async function transferAll() {
  while (number < end) {
    number += 1;
    const own = number;
    const [from, to] = [`account ${own % 7}`, `account ${own % 5}`];
    const left = cache.get(from, 'left') ?? 0;
    const right = cache.get(to, 'right') ?? 0;
    const amount = (own % 11) - 5;
    // A few are so large that the log writes them in several frames.
    const more = own % 50 === 0 ? 5_000 : 1;
    const noise = Array.from({ length: more }, (_, i) => {
      return { operation: 'set', namespace: `noise ${i % 3}`, key: `k${i % 900}`, value: own };
    });
    await cache.transaction([
      { operation: 'set', namespace: 'left', key: from, value: left - amount },
      ...noise,
      { operation: 'set', namespace: 'right', key: to, value: right + amount },
      { operation: 'set', namespace: 'count', key: 'number', value: own },
    ]);
    process.stdout.write(`${own}\n`);
  }
}
