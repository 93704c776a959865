import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DurablePast } from '../../../src/storage/disk/durable-past.ts';
import { openLevel } from '../../../src/storage/disk/index/leveldb/level-storage.ts';
import { chunkKey } from '../../../src/storage/disk/index/records/past-records.ts';
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

for (const isHeld of [true, false]) {
  it(`reads nothing once the log is closed, although ${isHeld ? 'the index was' : 'only the log is'} in memory`, async () => {
    const { log, table, take, close } = await openIndex();
    if (isHeld) await take(someSets(3));
    else log.append(someSets(3));
    await log.flush();
    const past = new DurablePast(table, log);
    const [view, known] = [past.at(3), past.at(2)];
    known.state('n');
    const history = past.backwards('n');
    expect(history.next().value).toMatchObject({ position: 3 });
    await close();
    const isClosed = expect.objectContaining({ code: 'CLOSED' });
    for (const each of [view, known]) {
      expect(() => each.state('n')).toThrow(isClosed);
      expect(() => each.has('n')).toThrow(isClosed);
      expect(() => [...each.names()]).toThrow(isClosed);
      expect(() => each.finder('n')).toThrow(isClosed);
      expect(() => each.lastChange('n')).toThrow(isClosed);
    }
    expect(() => history.next()).toThrow(isClosed);
    expect(() => past.at(1)).toThrow(isClosed);
    expect(() => past.positionAt(0)).toThrow(isClosed);
    expect(() => log.recent(1, 3)).toThrow(isClosed);
    expect(() => log.checksumAt(1)).toThrow(isClosed);
    expect(() => log.names()).toThrow(isClosed);
  });
}

it('reads the log if a record of the past is of an earlier state', async () => {
  const first = await openIndex();
  await first.take(someSets(3));
  await first.close();
  const location = join(first.dataDir, 'db/index');
  const before = await openLevel(location);
  const value = before.getSync(chunkKey('n', 0)) as Uint8Array;
  await before.close();
  const later = await openIndex(first.dataDir);
  await later.take(someSets(3, 4));
  await later.close();
  const harmed = await openLevel(location);
  await harmed.batch([{ type: 'put', key: chunkKey('n', 0), value }], true);
  await harmed.close();
  const { log, table, events, close } = await openIndex(first.dataDir);
  const past = new DurablePast(table, log);
  const versions = Array.from({ length: 6 }, (_, index) => past.at(index + 1).state('n')?.version);
  expect(versions).toEqual([1, 2, 3, 4, 5, 6]);
  expect(events).toMatchObject([{ type: 'failed', cause: { message: expect.stringContaining('has a gap') } }]);
  await close();
});
