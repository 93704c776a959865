import { expect, test } from 'vitest';
import type { StreamEvents } from '../../src/remote/call.ts';
import { ItemStream } from '../../src/remote/item-stream.ts';
import type { Link } from '../../src/remote/link.ts';

test('keeps one position beside the unread items of a stream, however many arrive', async () => {
  let events: StreamEvents | undefined;
  const link = {
    hello: { log: 'log' },
    saw: () => {},
    stream: (_request: unknown, given: StreamEvents) => {
      events = given;
      return { consumed: () => {}, cancel: () => {} };
    },
  } as unknown as Link;
  const stream = new ItemStream(link, { type: 'watch' }, 'watch');
  events?.onBatch([], 1);
  events?.onBatch(['item'], 2);
  for (let position = 3; position <= 1_000; position += 1) events?.onBatch([], position);
  events?.onEnd(undefined);
  const batches = [await stream.take(), await stream.take(), await stream.take()];
  expect(batches).toEqual([
    { items: [], position: 1, log: 'log' },
    { items: ['item'], position: 1_000, log: 'log' },
    'complete',
  ]);
});
