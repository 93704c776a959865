import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { WriteTurns } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';

it('runs writes one after the other, and none after a failed one', async () => {
  const turns = new WriteTurns();
  const begun: string[] = [];
  const write = (name: string, failure?: Error) => async () => {
    begun.push(name);
    await nextTurn();
    if (failure !== undefined) throw failure;
  };
  const first = turns.take(write('first'));
  const second = turns.take(write('second', new Error('the disk is full')));
  const third = turns.take(write('third'));
  await first;
  expect(begun).toEqual(['first', 'second']);
  await expect(second).rejects.toThrow('the disk is full');
  await expect(third).rejects.toThrow('the disk is full');
  await turns.idle();
  await expect(turns.take(write('fourth'))).rejects.toThrow('the disk is full');
  expect(begun).toEqual(['first', 'second']);
});
