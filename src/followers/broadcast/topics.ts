import { ContextCacheError } from '../../core/errors.ts';

/** Bytes a topic may have at the most, in UTF-8. */
export const MAX_TOPIC_BYTES = 255;

/**
 * Checks that a topic is a concrete NATS subject: tokens separated by `.`, none of them empty, without wildcards,
 * white space or control characters, not in the server's own `$…` or `_INBOX.…`, at most {@link MAX_TOPIC_BYTES}
 * bytes. Anything else would reach subjects it should not, or be cut by the protocol.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, with the remedy.
 */
export function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== 'string') {
    throw new ContextCacheError(
      'INVALID_OPTION',
      `A topic must be a string, not ${topic === null ? 'null' : typeof topic}.`,
    );
  }
  const problem = problemOf(topic);
  if (problem === undefined) return;
  const shown = JSON.stringify(topic.length > 80 ? `${topic.slice(0, 80)}…` : topic);
  throw new ContextCacheError('INVALID_OPTION', `The topic ${shown} ${problem}`);
}

function problemOf(topic: string): string | undefined {
  if (topic === '') return 'is empty. Name a NATS subject, such as "context.updates".';
  if (!topic.isWellFormed()) return 'has a lone surrogate. Use well-formed Unicode.';
  const bytes = Buffer.byteLength(topic);
  if (bytes > MAX_TOPIC_BYTES) return `has ${bytes} bytes. Use at most ${MAX_TOPIC_BYTES}.`;
  if (/[\s\p{Cc}\p{Zl}\p{Zp}]/u.test(topic)) return 'has white space or a control character. Leave it out.';
  if (/[*>]/.test(topic)) return 'has a wildcard. Name one concrete subject, without "*" and ">".';
  if (topic.split('.').includes('')) return 'has an empty token. Put a name before and after each ".".';
  if (topic.startsWith('$')) return 'begins with "$", which belongs to the NATS server. Choose another first token.';
  if (/^_INBOX(\.|$)/.test(topic)) return 'is in "_INBOX", where answers go. Choose another first token.';
  return undefined;
}

/** A topic and the log position it was added after. */
export interface TopicEntry {
  readonly topic: string;
  /** Only updates with a greater position are published to the topic: a topic does not get the past. */
  readonly since: number;
}

/**
 * The topics that updates are published to; may change while the cache runs. The order is kept and a topic is in the
 * list once. Each topic remembers the log position it was added after.
 *
 * @example
 * ```ts
 * const topics = new TopicsListConfig();
 * topics.set(['agents.context', 'audit.context'], log.head);
 * const stop = topics.onChange((list) => console.log(list));
 * topics.remove('audit.context');
 * const kept = JSON.stringify(topics.entries()); // and later: new TopicsListConfig(JSON.parse(kept))
 * ```
 */
export class TopicsListConfig {
  /** In the order of the list; replaced as a whole by each change. */
  #since: ReadonlyMap<string, number>;
  #list: readonly string[] = [];
  /** The greatest `since`: after it, every topic gets every update. */
  #latest = 0;
  readonly #listeners = new Set<(topics: string[]) => void>();

  /**
   * @param entries what {@link entries} gave before; default: no topics.
   * @throws {ContextCacheError} `INVALID_OPTION` for a topic that is none, or a position that is none.
   */
  constructor(entries: Iterable<TopicEntry> = []) {
    const since = new Map<string, number>();
    for (const entry of entries) {
      check(entry.topic, entry.since);
      if (!since.has(entry.topic)) since.set(entry.topic, entry.since);
    }
    this.#since = since;
    this.#index();
  }

  /** How many topics there are. */
  get size(): number {
    return this.#list.length;
  }

  /** The topics, in order. The array is the caller's own. */
  list(): string[] {
    return [...this.#list];
  }

  /** The topics with their positions, in order: plain data, to be kept and given to the constructor again. */
  entries(): TopicEntry[] {
    return Array.from(this.#since, ([topic, since]) => ({ topic, since }));
  }

  /** The topics that the update at `position` is published to. */
  at(position: number): readonly string[] {
    if (position > this.#latest) return this.#list;
    return this.#list.filter((topic) => position > (this.#since.get(topic) ?? 0));
  }

  /**
   * Replaces the list. Topics that stay keep the position they were added after; new ones get `since`. All topics are
   * checked before anything changes.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   */
  set(topics: Iterable<string>, since: number): void {
    if (typeof topics !== 'object' || topics === null || !(Symbol.iterator in topics)) {
      throw new ContextCacheError(
        'INVALID_OPTION',
        'Topics are given as a list of strings, such as ["agents.context"].',
      );
    }
    const next = new Map<string, number>();
    for (const topic of topics) {
      check(topic, since);
      if (!next.has(topic)) next.set(topic, this.#since.get(topic) ?? since);
    }
    this.#replace(next);
  }

  /**
   * Adds a topic at the end; `false` where it is there already (it then keeps its position).
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   */
  add(topic: string, since: number): boolean {
    check(topic, since);
    if (this.#since.has(topic)) return false;
    this.#replace(new Map(this.#since).set(topic, since));
    return true;
  }

  /** Takes a topic off the list; `false` where it was not on it. */
  remove(topic: string): boolean {
    const next = new Map(this.#since);
    if (!next.delete(topic)) return false;
    this.#replace(next);
    return true;
  }

  /** Calls `listener` with the list after each change of it. Returns how to stop. */
  onChange(listener: (topics: string[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #replace(next: ReadonlyMap<string, number>): void {
    const before = this.#list;
    this.#since = next;
    this.#index();
    const same = before.length === this.#list.length && before.every((topic, i) => topic === this.#list[i]);
    if (same) return;
    for (const listener of [...this.#listeners]) listener(this.list());
  }

  #index(): void {
    this.#list = [...this.#since.keys()];
    this.#latest = Math.max(0, ...this.#since.values());
  }
}

function check(topic: unknown, since: unknown): void {
  checkTopic(topic);
  if (typeof since === 'number' && Number.isSafeInteger(since) && since >= 0) return;
  throw new ContextCacheError(
    'INVALID_OPTION',
    `"since" of the topic ${JSON.stringify(topic)} must be a log position: an integer from 0.`,
  );
}
