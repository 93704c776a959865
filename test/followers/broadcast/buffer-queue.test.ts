import { describe, expect, it } from 'vitest';
import { ContextBufferQueue } from '../../../src/followers/broadcast/buffer-queue.ts';

/** A destination whose deliveries end when told. */
function gate() {
  const begun: number[] = [];
  const ends: { resolve: () => void; reject: (reason: Error) => void }[] = [];
  const deliver = (batch: number) => {
    begun.push(batch);
    return new Promise<void>((resolve, reject) => ends.push({ resolve, reject }));
  };
  return { begun, ends, deliver };
}

/** Lets everything run that can. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('ContextBufferQueue', () => {
  it('takes in as many batches as its capacity and makes further pushes wait', async () => {
    const { begun, ends, deliver } = gate();
    const queue = new ContextBufferQueue<number>({ deliver, capacity: 2 });
    const taken: number[] = [];
    const pushes = [1, 2, 3, 4].map((batch) => queue.push(batch).then(() => taken.push(batch)));
    await turn();
    expect({ taken, begun, size: queue.size }).toEqual({ taken: [1, 2], begun: [1], size: 2 });
    ends[0]?.resolve();
    await turn();
    expect({ taken, begun, size: queue.size }).toEqual({ taken: [1, 2, 3], begun: [1, 2], size: 2 });
    for (let i = 1; i < 4; i += 1) {
      ends[i]?.resolve();
      await turn();
    }
    await Promise.all(pushes);
    await queue.onIdle();
    expect({ begun, size: queue.size }).toEqual({ begun: [1, 2, 3, 4], size: 0 });
  });

  it('makes the next batch while the one before is being delivered', async () => {
    const { ends, deliver } = gate();
    const queue = new ContextBufferQueue<number>({ deliver });
    await queue.push(1);
    await queue.push(2);
    expect(ends).toHaveLength(1);
  });

  it('delivers nothing behind a failed batch and tells everybody why', async () => {
    const { begun, ends, deliver } = gate();
    const queue = new ContextBufferQueue<number>({ deliver, capacity: 2 });
    await queue.push(1);
    await queue.push(2);
    const third = queue.push(3).catch((e: Error) => e.message);
    const idle = queue.onIdle().catch((e: Error) => e.message);
    ends[0]?.reject(new Error('gone'));
    expect(await Promise.all([third, idle])).toEqual(['gone', 'gone']);
    await expect(queue.push(4)).rejects.toThrow('gone');
    await expect(queue.onIdle()).rejects.toThrow('gone');
    expect({ begun, size: queue.size }).toEqual({ begun: [1], size: 0 });
  });

  it('works again after clear, one batch at a time still', async () => {
    const { begun, ends, deliver } = gate();
    const queue = new ContextBufferQueue<number>({ deliver, capacity: 2 });
    await queue.push(1);
    await queue.push(2);
    const waiting = queue.push(3);
    queue.clear();
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    await queue.push(4);
    await turn();
    expect(begun).toEqual([1]);
    ends[0]?.reject(new Error('of the past'));
    await turn();
    expect(begun).toEqual([1, 4]);
    ends[1]?.resolve();
    await queue.onIdle();
  });

  it('takes a thrown error for a failure', async () => {
    const queue = new ContextBufferQueue<number>({
      deliver: () => {
        throw new Error('at once');
      },
    });
    await queue.push(1);
    await expect(queue.onIdle()).rejects.toThrow('at once');
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses a capacity of %s', (capacity) => {
    expect(() => new ContextBufferQueue({ deliver: async () => {}, capacity })).toThrow(/capacity/);
  });
});
