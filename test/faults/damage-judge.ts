import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { deserialize } from 'node:v8';
import type { Update } from '../../src/index.ts';
import { judge } from './damage-case.ts';
import type { Job } from './damage-judges.ts';
import { Recorded } from './damage-model.ts';
import { Random } from './support.ts';

// The process of a judge: reads one job a line and prints its verdict. LevelDB may abort it.

const recorded = new Recorded(deserialize(readFileSync(process.argv[2] as string)) as Update[]);
for await (const line of createInterface({ input: process.stdin })) {
  const { dataDir, seed } = JSON.parse(line) as Job;
  const verdict = await judge(dataDir, recorded, new Random(seed));
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
process.exit();
