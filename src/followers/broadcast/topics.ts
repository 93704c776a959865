import { ContextCacheError } from '../../core/errors.ts';

/** Greatest length of a topic in bytes of UTF-8. */
export const MAX_TOPIC_BYTES = 255;

/**
 * Checks that a topic is a concrete NATS subject of at most {@link MAX_TOPIC_BYTES} bytes: tokens separated by `.`, none
 * of them empty, without wildcards, white space or control characters, and outside `$…` and `_INBOX.…`, which belong to
 * the server. Any other text would reach other subjects, or break the protocol.
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

/** A topic, and the position in the log after which it was added. */
export interface TopicEntry {
  readonly topic: string;
  /** Only updates with a greater position are published to the topic. */
  readonly since: number;
}

/**
 * The list of topics that updates are published to. It may change while the cache runs. Topics keep their order, and each
 * is listed once. A topic has the position in the log after which it was added, and gets only later updates.
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
  /** Position of each topic, in the order of the list. Each change replaces the map. */
  #since: ReadonlyMap<string, number>;
  #list: readonly string[] = [];
  /** The greatest `since`. Every topic gets every update after it. */
  #latest = 0;
  readonly #listeners = new Set<(topics: string[]) => void>();

  /**
   * @param entries topics as `entries()` returns them. Default: none.
   * @throws {ContextCacheError} `INVALID_OPTION` if a topic or a position is invalid.
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

  /** Number of topics. */
  get size(): number {
    return this.#list.length;
  }

  /** Returns the topics in order, as a new array. */
  list(): string[] {
    return [...this.#list];
  }

  /** Returns the topics with their positions, in order: plain data that can be stored and given to the constructor. */
  entries(): TopicEntry[] {
    return Array.from(this.#since, ([topic, since]) => ({ topic, since }));
  }

  /** Returns the topics that the update at `position` is published to. */
  at(position: number): readonly string[] {
    if (position > this.#latest) return this.#list;
    return this.#list.filter((topic) => position > (this.#since.get(topic) ?? 0));
  }

  /**
   * Replaces the list and the positions. Returns whether that changed anything.
   *
   * @internal
   */
  replaceWith(entries: readonly TopicEntry[]): boolean {
    const next = new Map(entries.map(({ topic, since }) => [topic, since]));
    const isSame =
      next.size === this.#since.size && [...next].every(([topic, since]) => this.#since.get(topic) === since);
    if (!isSame) this.#replace(next);
    return !isSame;
  }

  /**
   * Replaces the list. Topics that stay keep their position; new ones get `since`. All topics are checked before anything
   * changes.
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
   * Adds a topic at the end. Returns `false` if it is listed already; it then keeps its position.
   *
   * @throws {ContextCacheError} `INVALID_OPTION`.
   */
  add(topic: string, since: number): boolean {
    check(topic, since);
    if (this.#since.has(topic)) return false;
    this.#replace(new Map(this.#since).set(topic, since));
    return true;
  }

  /** Removes a topic. Returns `false` if it was not listed. */
  remove(topic: string): boolean {
    const next = new Map(this.#since);
    if (!next.delete(topic)) return false;
    this.#replace(next);
    return true;
  }

  /** Calls `listener` with the list after each change. Returns a function that removes the listener. */
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
