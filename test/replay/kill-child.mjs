// Replays a file into a directory and says so when it is done: node kill-child.mjs DIST SOURCE DATA_DIR
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, source, dataDir] = process.argv.slice(2);
const { replay } = await import(pathToFileURL(join(dist, 'src/index.js')).href);
const onProgress = ({ fraction }) => process.stdout.write(`${fraction}\n`);
const { cache } = await replay(source, { dataDir, onProgress });
process.stdout.write('done\n');
await cache.shutdown();
