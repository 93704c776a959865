// Replays a file into a directory and says so when it is done: node kill-child.mjs DIST SOURCE DATA_DIR LINES
// After so many lines of output it goes no further, but waits until it is killed.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, source, dataDir, lines] = process.argv.slice(2);
const { replay } = await import(pathToFileURL(join(dist, 'src/index.js')).href);
let left = Number(lines);
const onProgress = ({ fraction }) => {
  process.stdout.write(`${fraction}\n`);
  left -= 1;
  if (left === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};
const { cache } = await replay(source, { dataDir, onProgress });
process.stdout.write('done\n');
await cache.shutdown();
