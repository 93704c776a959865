import { expect, it } from 'vitest';
import type { CommandStream, StreamMessage } from '../../../src/cluster/command-stream.ts';
import type { ContextCacheError } from '../../../src/core/errors.ts';
import { eventually } from '../../support/waiting.ts';

/** A new, empty stream that several nodes can open. */
export interface SharedStream {
  /** Opens the stream as another node does. */
  open(): Promise<CommandStream>;
}

/** Everything that one reader got. */
export class Received {
  readonly messages: StreamMessage[] = [];
  readonly errors: ContextCacheError[] = [];

  readonly receive = (message: StreamMessage): void => {
    this.messages.push(message);
  };

  readonly failed = (error: ContextCacheError): void => {
    this.errors.push(error);
  };

  get sequences(): number[] {
    return this.messages.map(({ sequence }) => sequence);
  }

  get texts(): string[] {
    return this.messages.map(({ data }) => Buffer.from(data).toString());
  }

  /** Resolves when this many messages have come, and checks that there are no more. */
  async holds(count: number): Promise<void> {
    await eventually(() => expect(this.messages.length).toBeGreaterThanOrEqual(count));
    expect(this.sequences).toHaveLength(count);
  }
}

/** Returns a message that holds a text. */
export const message = (text: string) => Buffer.from(text);

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Checks that an implementation keeps the contract of {@link CommandStream}. */
export function commandStreamSuite(create: () => Promise<SharedStream>): void {
  it('gives each message the next sequence and delivers it to every node', async () => {
    const shared = await create();
    const [one, two] = [await shared.open(), await shared.open()];
    const [atOne, atTwo] = [new Received(), new Received()];
    one.follow(0, atOne.receive, atOne.failed);
    two.follow(0, atTwo.receive, atTwo.failed);
    expect(await one.publish(message('a'))).toBe(1);
    expect(await two.publish(message('b'))).toBe(2);
    await Promise.all([atOne.holds(2), atTwo.holds(2)]);
    expect(atOne.texts).toEqual(['a', 'b']);
    expect(atTwo.messages).toEqual(atOne.messages);
    expect(atTwo.messages[0]?.at).toBeLessThanOrEqual(atTwo.messages[1]?.at ?? 0);
    expect(Math.abs((atOne.messages[0]?.at ?? 0) - Date.now())).toBeLessThan(60_000);
    await Promise.all([one.close(), two.close()]);
  });

  it('stores messages of one node in the order in which it published them', async () => {
    const shared = await create();
    const stream = await shared.open();
    const got = new Received();
    stream.follow(0, got.receive, got.failed);
    const texts = range(1, 300).map(String);
    const sequences = await Promise.all(texts.map((text) => stream.publish(message(text))));
    expect(sequences).toEqual(range(1, 300));
    await got.holds(300);
    expect(got.texts).toEqual(texts);
    expect(got.sequences).toEqual(range(1, 300));
    await stream.close();
  });

  it('delivers what is stored after a sequence, and then what is new', async () => {
    const shared = await create();
    const stream = await shared.open();
    await Promise.all(range(1, 700).map((number) => stream.publish(message(String(number)))));
    const [all, part] = [new Received(), new Received()];
    stream.follow(0, all.receive, all.failed);
    stream.follow(650, part.receive, part.failed);
    await stream.publish(message('701'));
    await Promise.all([all.holds(701), part.holds(51)]);
    expect(all.sequences).toEqual(range(1, 701));
    expect(part.texts).toEqual(range(651, 701).map(String));
    await stream.close();
  });

  it('calls no receiver before follow has returned, and none after stop', async () => {
    const shared = await create();
    const stream = await shared.open();
    await stream.publish(message('stored'));
    const got = new Received();
    let hasReturned = false;
    const following = stream.follow(
      0,
      (each) => {
        expect(hasReturned).toBe(true);
        got.receive(each);
      },
      got.failed,
    );
    hasReturned = true;
    await got.holds(1);
    following.stop();
    await stream.publish(message('new'));
    const later = new Received();
    stream.follow(0, later.receive, later.failed);
    await later.holds(2);
    expect(got.texts).toEqual(['stored']);
    await stream.close();
  });

  it('reports its ends, and a reader that needs a purged message', async () => {
    const shared = await create();
    const stream = await shared.open();
    expect(await stream.info()).toMatchObject({ first: 1, last: 0 });
    for (const text of ['a', 'b', 'c']) await stream.publish(message(text));
    await stream.purge(2);
    const info = await stream.info();
    expect(info).toMatchObject({ first: 3, last: 3 });
    expect(info.epoch).not.toBe('');
    const [late, fine] = [new Received(), new Received()];
    stream.follow(0, late.receive, late.failed);
    stream.follow(2, fine.receive, fine.failed);
    await fine.holds(1);
    await eventually(() => expect(late.errors.map(({ code }) => code)).toEqual(['POSITION_UNAVAILABLE']));
    expect(late.messages).toEqual([]);
    expect(fine.texts).toEqual(['c']);
    await stream.purge(3);
    expect(await stream.info()).toMatchObject({ first: 4, last: 3 });
    await stream.close();
  });

  it('reports a stream that ends before what a reader has had', async () => {
    const shared = await create();
    const stream = await shared.open();
    await stream.publish(message('a'));
    const got = new Received();
    stream.follow(5, got.receive, got.failed);
    await eventually(() => expect(got.errors.map(({ code }) => code)).toEqual(['LOG_CORRUPT']));
    await stream.close();
  });

  it('refuses a message after it was closed', async () => {
    const shared = await create();
    const stream = await shared.open();
    await stream.close();
    await expect(stream.publish(message('late'))).rejects.toMatchObject({ code: 'CLOSED' });
    await stream.close();
  });
}
