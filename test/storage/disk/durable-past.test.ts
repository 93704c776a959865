import { expect, it } from 'vitest';
import { DurablePast } from '../../../src/storage/disk/durable-past.ts';
import { openIndex } from '../../support/index.ts';
import { someSets } from '../../support/log.ts';

it('reads all updates of a namespace backwards although the index catches up meanwhile', async () => {
  const { log, index, table, take, close } = await openIndex();
  await take(someSets(10));
  log.append(someSets(10, 11));
  await log.flush();
  const found: number[] = [];
  for (const { position } of new DurablePast(table, log).backwards('n')) {
    found.push(position);
    if (found.length === 5) await index.fold(log.committed);
  }
  expect(found).toEqual(Array.from({ length: 20 }, (_, each) => 20 - each));
  await close();
});
