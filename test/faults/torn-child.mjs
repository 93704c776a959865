// Writes to the storage of an index twice at once while the first write reaches the file only in part. Prints both outcomes, and
// whether the second write is present when the storage is opened again.
// node torn-child.mjs OPTIONS (JSON: dist, control, location)
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DiskControl } from './disk-control.mjs';

const { dist, location, ...options } = JSON.parse(process.argv[2]);
const { openLevel } = await import(pathToFileURL(join(dist, 'test/support/internals.js')).href);
const control = new DiskControl(options.control);
const put = (key) => [{ type: 'put', key, value: Buffer.alloc(1_000, key) }];

const storage = await openLevel(location);
// The head of the record is the first write, its content the second.
control.arm({ kinds: ['write'], n: 2, error: 'EIO', fate: 'torn', directory: location });
const outcomes = await Promise.allSettled([storage.batch(put('a'), false), storage.batch(put('b'), true)]);
control.disarm();
await storage.close();
const again = await openLevel(location);
const [found] = await again.getMany(['b']);
await again.close();
for (const { status } of outcomes) console.log(status);
console.log(found === undefined ? 'lost' : 'there');
