import { expect, test } from 'vitest';
import { SimulatedClock } from 'xstate';
import type { StreamMessage } from '../../../src/cluster/command-stream.ts';
import type { StreamLink } from '../../../src/cluster/jetstream/stream-link.ts';
import { streamNames } from '../../../src/cluster/jetstream/stream-names.ts';
import { StreamReader } from '../../../src/cluster/jetstream/stream-reader.ts';
import { Received } from '../support/command-stream-suite.ts';

const stored = (sequence: number, at = 1_000 + sequence): StreamMessage => ({
  sequence,
  at,
  data: Buffer.from(String(sequence)),
});

/** A reader over a server that has the messages of `has`, one a read if it is an old one. */
function readerOver(has: Map<number, StreamMessage>, isBatch = true) {
  const clock = new SimulatedClock();
  const got = new Received();
  const reads: number[] = [];
  /** Called during each read, before its answer. */
  const during = { read: () => {} };
  const server = {
    async read(first: number, take: (message: StreamMessage) => void) {
      reads.push(first);
      during.read();
      const found = [...has.values()].filter(({ sequence }) => sequence >= first);
      const page = found.slice(0, isBatch ? 4 : 1);
      for (const each of page) take(each);
      return { count: page.length, isBatch };
    },
    async readOne(sequence: number) {
      return has.get(sequence);
    },
  };
  let link = { ...server } as unknown as StreamLink;
  const connectAgain = () => {
    link = { ...server } as unknown as StreamLink;
  };
  const reader = new StreamReader(0, got.receive, got.failed, {
    names: streamNames('plans'),
    elapsed: () => clock.now(),
    link: () => link,
    within: (work) => work,
    later: (run, ms) => clock.setTimeout(run, ms),
    ended: () => {},
  });
  const pass = async (ms: number) => {
    clock.increment(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { reader, got, reads, during, pass, connectAgain };
}

const all = (count: number) => new Map(Array.from({ length: count }, (_, index) => [index + 1, stored(index + 1)]));

test('delivers repeated messages in order although they come out of order, without reading', async () => {
  const { reader, got, reads, pass } = readerOver(all(4));
  for (const sequence of [2, 1, 4, 3, 1]) reader.hear(stored(sequence));
  await pass(200);
  expect(got.sequences).toEqual([1, 2, 3, 4]);
  expect(reads).toEqual([]);
});

test.each([true, false])('reads a message that was not repeated (batches: %s)', async (isBatch) => {
  const { reader, got, pass } = readerOver(all(9), isBatch);
  reader.hear(stored(1));
  reader.hear(stored(9));
  expect(got.sequences).toEqual([1]);
  await pass(200);
  expect(got.sequences).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('reads what was acknowledged and not repeated, and what came while nothing was heard', async () => {
  const has = all(2);
  const { reader, got, pass } = readerOver(has);
  reader.acknowledged(2);
  await pass(200);
  expect(got.sequences).toEqual([1, 2]);
  has.set(3, stored(3));
  await pass(1_000);
  reader.poll();
  await pass(0);
  expect(got.sequences).toEqual([1, 2, 3]);
});

test('never skips a missing message, and reports it after three seconds', async () => {
  const has = all(5);
  has.delete(3);
  const { reader, got, pass } = readerOver(has);
  for (const sequence of [1, 2, 4, 5]) reader.hear(stored(sequence));
  for (let ms = 0; ms < 2_800; ms += 100) {
    await pass(100);
    reader.inspect({ first: 1, last: 5 });
  }
  expect(reader.isSuspicious).toBe(true);
  expect(got.sequences).toEqual([1, 2]);
  expect(got.errors).toEqual([]);
  for (let ms = 0; ms < 500; ms += 100) {
    await pass(100);
    reader.inspect({ first: 1, last: 5 });
  }
  expect(got.sequences).toEqual([1, 2]);
  expect(got.errors.map(({ code, message }) => [code, message])).toEqual([
    ['LOG_CORRUPT', expect.stringContaining('lacks message 3, and has later ones')],
  ]);
});

test('goes on if a replica that lacked a message has caught up', async () => {
  const has = all(5);
  has.delete(3);
  const { reader, got, pass } = readerOver(has);
  reader.acknowledged(5);
  await pass(2_000);
  has.clear();
  for (const [sequence, message] of all(5)) has.set(sequence, message);
  await pass(2_000);
  reader.inspect({ first: 1, last: 5 });
  expect(got.sequences).toEqual([1, 2, 3, 4, 5]);
  expect(got.errors).toEqual([]);
  expect(reader.isSuspicious).toBe(false);
});

test('waits for a message that is known and that no replica has yet', async () => {
  const has = all(2);
  const { reader, got, pass } = readerOver(has);
  reader.acknowledged(3);
  for (let ms = 0; ms < 10_000; ms += 100) {
    await pass(100);
    reader.inspect({ first: 1, last: 3 });
  }
  expect(got.errors).toEqual([]);
  has.set(3, stored(3));
  await pass(200);
  expect(got.sequences).toEqual([1, 2, 3]);
});

test('reports another message under a sequence that it has received', async () => {
  const { reader, got } = readerOver(all(3));
  for (const sequence of [1, 2, 3]) reader.hear(stored(sequence));
  reader.hear(stored(2));
  expect(got.errors).toEqual([]);
  reader.hear(stored(2, 5_000));
  expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']);
  reader.hear(stored(4));
  expect(got.sequences).toEqual([1, 2, 3]);
});

test.each(['asked to go on', 'polled', 'told of a new message'])(
  'compares the last message that it received on each connection before it takes another one: %s',
  async (how) => {
    const has = all(3);
    const { reader, got, pass, connectAgain } = readerOver(has);
    for (const sequence of [1, 2, 3]) reader.hear(stored(sequence));
    connectAgain();
    await reader.resume();
    expect(got.errors).toEqual([]);
    has.set(3, stored(3, 9_000));
    has.set(4, stored(4, 9_001));
    connectAgain();
    if (how === 'asked to go on') await reader.resume();
    else if (how === 'told of a new message') reader.hear(stored(4, 9_001));
    await pass(1_000);
    reader.poll();
    await pass(0);
    expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']);
    expect(got.sequences).toEqual([1, 2, 3]);
  },
);

test('takes no answer for low that was given before a message came, nor two of them with silence between', async () => {
  const { reader, got, pass } = readerOver(all(60));
  for (let sequence = 1; sequence <= 60; sequence += 1) {
    const { known } = reader;
    reader.hear(stored(sequence));
    await pass(100);
    reader.inspect({ first: 1, last: sequence - 1 }, known);
  }
  reader.inspect({ first: 1, last: 55 });
  await pass(5_000);
  reader.inspect({ first: 1, last: 55 });
  expect(got.errors).toEqual([]);
  for (let ms = 0; ms < 3_000; ms += 250) {
    await pass(250);
    reader.inspect({ first: 1, last: 55 });
  }
  expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']);
});

test('stops reading when it has found nothing itself, although repeated messages keep coming', async () => {
  const { reader, got, reads, during, pass } = readerOver(new Map());
  reader.hear(stored(1));
  during.read = () => {
    // Ends in any case, so that a reader that never stops fails the test instead of hanging it.
    if (reads.length < 100) reader.hear(stored(reader.received + 1));
  };
  await pass(1_000);
  reader.poll();
  await pass(0);
  expect(reads).toEqual([2]);
  expect(got.sequences).toEqual([1, 2]);
});
