import { describe, expect, it } from 'vitest';
import { checkTopic, TopicsListConfig } from '../../../src/followers/broadcast/topics.ts';

describe('checkTopic', () => {
  it.each([
    'a',
    'agents.context',
    'a.b.c-d_e',
    'überall.ümläut',
    'emoji.🙂',
    'a.$b',
    `${'x'.repeat(255)}`,
    '_INBOXES.a',
  ])('takes the concrete subject %s', (topic) => expect(() => checkTopic(topic)).not.toThrow());

  it.each([
    ...[
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      'a.*',
      '*',
      '>',
      'a.>',
      'a*b',
      'a b',
      'a\tb',
      'a\r\nPUB x 0',
      'a\u0000b',
      'a\u00a0b',
    ],
    ...['$JS.API', '$SYS', '_INBOX.x', '_INBOX', 'x'.repeat(256), 'ü'.repeat(128), 'a\ud800', 'a\u2028b', 'a\u007f'],
    ...[null, 1, undefined, {}],
  ])('refuses %j', (topic) => {
    expect(() => checkTopic(topic)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('TopicsListConfig', () => {
  it('keeps order, collapses duplicates and keeps the position of topics that stay', () => {
    const topics = new TopicsListConfig();
    topics.set(['b', 'a', 'b'], 10);
    topics.set(['a', 'c', 'b', 'c'], 20);
    expect(topics.entries()).toEqual([
      { topic: 'a', since: 10 },
      { topic: 'c', since: 20 },
      { topic: 'b', since: 10 },
    ]);
    expect(topics.list()).toEqual(['a', 'c', 'b']);
  });

  it('gives a topic only what comes after it was added', () => {
    const topics = new TopicsListConfig();
    topics.set(['a'], 0);
    expect(topics.add('b', 5)).toBe(true);
    expect(topics.add('a', 7)).toBe(false);
    expect([1, 5, 6].map((position) => topics.at(position))).toEqual([['a'], ['a'], ['a', 'b']]);
    expect(topics.remove('b')).toBe(true);
    expect(topics.remove('b')).toBe(false);
    topics.add('b', 9);
    expect(topics.at(7)).toEqual(['a']);
  });

  it('changes nothing when one topic of a list is refused', () => {
    const topics = new TopicsListConfig([{ topic: 'a', since: 3 }]);
    expect(() => topics.set(['b', 'c.*'], 4)).toThrow(/wildcard/);
    expect(() => topics.add('b', -1)).toThrow(/since/);
    expect(topics.entries()).toEqual([{ topic: 'a', since: 3 }]);
  });

  it('tells of changes, of nothing else, and until stopped', () => {
    const topics = new TopicsListConfig();
    const seen: string[][] = [];
    const stop = topics.onChange((list) => seen.push(list));
    topics.set(['a', 'b'], 0);
    topics.set(['a', 'b'], 1);
    topics.set(['b', 'a'], 1);
    topics.add('a', 2);
    topics.remove('a');
    stop();
    topics.set([], 3);
    expect(seen).toEqual([['a', 'b'], ['b', 'a'], ['b']]);
  });

  it('comes back from its entries', () => {
    const topics = new TopicsListConfig();
    topics.set(['x', 'y'], 4);
    topics.add('z', 6);
    const again = new TopicsListConfig(JSON.parse(JSON.stringify(topics.entries())));
    expect(again.entries()).toEqual(topics.entries());
    expect(again.at(5)).toEqual(['x', 'y']);
  });
});
