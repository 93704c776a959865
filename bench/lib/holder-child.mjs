// Holds a shared directory. Shuts down on request; the bench may also kill or pause this process.
import { AgentContextCache } from './ours.mjs';

const memory = await AgentContextCache.share(process.argv[2], { natsUrl: null });
process.on('message', async () => {
  await memory.shutdown();
  process.exit(0);
});
process.send('ready');
