// A process that holds a shared directory until it is told to shut down, killed or stopped.
import { AgentContextCache } from './ours.mjs';

const memory = await AgentContextCache.share(process.argv[2], { natsUrl: null });
process.on('message', async () => {
  await memory.shutdown();
  process.exit(0);
});
process.send('ready');
