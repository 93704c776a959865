import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { INTERNALS } from '../../src/engine/internals.ts';
import { AgentContextCache } from '../../src/index.ts';
import { applyLines, type Outcome } from '../../src/serve/apply-lines.ts';
import { MAX_COMMANDS } from '../../src/serve/command-window.ts';
import { parseLine, splitLines } from '../../src/wire/lines.ts';
import { waitFor } from '../support/cli.ts';
import { fcOptions } from '../support/property.ts';

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (let turn = 0; start < bytes.length; turn += 1) {
    const end = start + (sizes[turn % sizes.length] ?? 1);
    yield bytes.subarray(start, end);
    start = end;
  }
}

async function linesOf(source: AsyncIterable<Uint8Array>, maxBytes?: number): Promise<(string | undefined)[]> {
  const lines: (string | undefined)[] = [];
  for await (const some of splitLines(source, maxBytes)) {
    for (const { number, text } of some) {
      expect(number).toBe(lines.length + 1);
      lines.push(text);
    }
  }
  return lines;
}

describe('lines', () => {
  test('are the same however the bytes are chunked', async () => {
    const text = fc.array(fc.constantFrom('a', '\n', '\r', ' ', '\u{e9}', '\u{1f600}'), { maxLength: 60 });
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(text, sizes, fc.integer({ min: 1, max: 12 }), async (characters, some, maxBytes) => {
        const whole = characters.join('');
        const expected = whole.split('\n');
        if (expected.at(-1) === '') expected.pop();
        const bytes = Buffer.from(whole);
        expect(await linesOf(chunksOf(bytes, some))).toEqual(expected);
        const short = expected.map((line) => (Buffer.byteLength(line) > maxBytes ? undefined : line));
        expect(await linesOf(chunksOf(bytes, some), maxBytes)).toEqual(short);
      }),
      fcOptions(300),
    );
  });

  test('with a mistake are reported without quoting them', () => {
    for (const text of ['{"secret":', 'secret', '"secret']) {
      expect(() => parseLine({ number: 1, text })).toThrow(/^It is not valid JSON/);
      expect(() => parseLine({ number: 1, text })).not.toThrow(/secret/);
    }
  });
});

describe('commands in flight', () => {
  /** Creates a cache whose commands end when they are released. */
  function heldCache() {
    const cache = new AgentContextCache({ natsUrl: null });
    const held: (() => void)[] = [];
    const attempt = () =>
      new Promise((resolve) => {
        held.push(() => resolve({ version: 1, position: held.length, changed: true }));
      });
    const internals = { ...cache[INTERNALS], writer: { attempt } };
    const properties = { [INTERNALS]: { value: internals }, position: { value: 0 } };
    return { cache: Object.create(cache, properties) as AgentContextCache, held };
  }

  function commit() {
    let settle = { resolve: (): void => {}, reject: (_: Error): void => {} };
    const promise = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    return { promise, ...settle };
  }

  async function* endless(size: number): AsyncGenerator<Uint8Array> {
    const line = Buffer.from(`${JSON.stringify({ type: 'context.set', key: 'k', value: 'x'.repeat(size) })}\n`);
    for (;;) yield line;
  }

  test.each([
    ['in number', 10, MAX_COMMANDS],
    ['in characters', 1024 * 1024, 8],
  ])('are bounded %s, and come out in the order of their lines', async (_, size, bound) => {
    const { cache, held } = heldCache();
    const interrupted = new AbortController();
    const seen: Outcome[] = [];
    const applied = applyLines({
      cache,
      lines: splitLines(endless(size)),
      keepGoing: true,
      signal: interrupted.signal,
      cancel: () => {},
      onOutcomes: (outcomes) => {
        seen.push(...outcomes);
      },
    });
    await waitFor(() => expect(held.length).toBe(bound));
    // Nothing more is sent until the first command has ended, even if others have.
    for (const release of held.slice(1).reverse()) release();
    await new Promise((resolve) => setImmediate(resolve));
    expect({ sent: held.length, seen }).toEqual({ sent: bound, seen: [] });
    held[0]?.();
    await waitFor(() => expect(held.length).toBe(2 * bound));
    expect(seen.map(({ line }) => line)).toEqual(Array.from({ length: bound }, (_, index) => index + 1));
    interrupted.abort();
    for (const release of held) release();
    expect(await applied).toMatchObject({ lines: 2 * bound, failed: 0 });
  });

  test('are reported no faster than their outcomes are taken', async () => {
    const { cache, held } = heldCache();
    let take = (): void => {};
    const applied = applyLines({
      cache,
      lines: splitLines(endless(10)),
      keepGoing: true,
      cancel: () => {},
      onOutcomes: () =>
        new Promise<void>((_, reject) => {
          take = () => reject(new Error('The reader has gone.'));
        }),
    });
    await waitFor(() => expect(held.length).toBe(MAX_COMMANDS));
    for (const release of held) release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(held.length).toBe(MAX_COMMANDS);
    take();
    await expect(applied).rejects.toThrow('The reader has gone.');
  });

  test('end when their own commit does: a commit that fails fails its commands and no earlier one', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    let head = 0;
    const commits = [commit(), commit()] as const;
    const writer = {
      attempt: ({ key }: { key: string }) => {
        if (key === 'unchanged') return { version: 1, position: 0, changed: false };
        head += 1;
        return { version: head, position: head, changed: true };
      },
      whenDurable: (position: number) => (position === 0 ? undefined : commits[position <= 2 ? 0 : 1].promise),
    };
    const held = Object.create(cache, {
      [INTERNALS]: { value: { ...cache[INTERNALS], writer } },
      position: { get: () => head },
    }) as AgentContextCache;
    const commands = ['a', 'b', 'c', 'unchanged', 'd'].map((key) => ({ type: 'context.set', key, value: 1 }));
    const seen: Outcome[] = [];
    const applied = applyLines({
      cache: held,
      lines: splitLines(chunksOf(Buffer.from(commands.map((each) => JSON.stringify(each)).join('\n')), [1_000])),
      keepGoing: true,
      cancel: () => {},
      onOutcomes: (outcomes) => {
        seen.push(...outcomes.map(({ line, position, error }) => ({ line, position, error })));
      },
    });
    await waitFor(() => expect(head).toBe(4));
    expect(seen).toEqual([]);
    commits[0].resolve();
    await waitFor(() => expect(seen.length).toBe(2));
    const lost = new Error('The disk is full.');
    commits[1].reject(lost);
    expect(await applied).toEqual({ lines: 5, updates: 2, unchanged: 1, failed: 2, position: 4 });
    expect(seen).toEqual([
      { line: 1, position: 1, error: undefined },
      { line: 2, position: 2, error: undefined },
      { line: 3, position: 4, error: lost },
      { line: 4, position: 0, error: undefined },
      { line: 5, position: 4, error: lost },
    ]);
  });
});
