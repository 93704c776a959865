import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { deserialize } from 'node:v8';
import type { Update } from '../../src/index.ts';
import { openUnproven } from '../../src/storage/disk/leveldb/level-storage.ts';
import { proveBeforeOpening } from '../../src/storage/disk/leveldb/proof/prove-before-opening.ts';
import { judge, type Open, openCache, openOver } from './damage-case.ts';
import type { Engine, Job } from './damage-judges.ts';
import { Recorded } from './damage-model.ts';
import { Random } from './support.ts';

// The process of a judge: reads one job a line and prints its verdict. LevelDB may abort it.

const ENGINES: Record<Engine, Open> = {
  proven: openCache,
  large: openOver(async (location, create) => {
    if (!create) await proveBeforeOpening(location, 0);
    return openUnproven(location, create);
  }),
};

const recorded = new Recorded(deserialize(readFileSync(process.argv[2] as string)) as Update[]);
for await (const line of createInterface({ input: process.stdin })) {
  const { dataDir, seed, engine } = JSON.parse(line) as Job;
  const verdict = await judge(dataDir, recorded, new Random(seed), ENGINES[engine]);
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
process.exit();
