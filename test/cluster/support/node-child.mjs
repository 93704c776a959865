// A node in a process of its own: writes until it is killed, or, with 0 seconds, reports its state and ends.
import { AgentContextCache } from 'agent-context-cache';

const [cluster, dataDir, seconds] = process.argv.slice(2);
const cache = await AgentContextCache.open({ cluster: { ...JSON.parse(cluster), node: 'child' }, dataDir });
if (seconds === '0') {
  await cache.barrier();
  const { position } = cache;
  const digest = await cache.digest();
  console.log(JSON.stringify({ digest, position, acknowledged: cache.get('mine', 'all') }));
  await cache.shutdown();
} else {
  for (let i = 0; ; i += 1) {
    await Promise.all(Array.from({ length: 10 }, () => cache.increment('mine', 1, 'all')));
    if (i === 5) console.log('running');
  }
}
