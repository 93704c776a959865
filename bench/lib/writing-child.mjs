// A process that writes durably at full rate until it is killed, and says how far it is.
import { AgentContextCache } from './ours.mjs';
import { VALUES } from './values.mjs';

const [, , dataDir, inFlight] = process.argv;
const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
let next = 0;
let acknowledged = 0;

async function write() {
  for (;;) {
    const i = next;
    next += 1;
    const { position } = await cache.set(`key-${i % 10_000}`, VALUES.small(i), `agent/${i % 100}`);
    acknowledged = Math.max(acknowledged, position);
  }
}

setInterval(() => acknowledged > 0 && process.send(acknowledged), 50);
await Promise.all(Array.from({ length: Number(inFlight) }, write));
