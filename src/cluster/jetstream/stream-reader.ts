import { ContextCacheError } from '../../core/errors.ts';
import type { Following, StreamInfo, StreamMessage } from '../command-stream.ts';
import { CERTAIN_AFTER_MS, Lasting } from './lasting.ts';
import type { StreamLink } from './stream-link.ts';
import type { StreamNames } from './stream-names.ts';

/** The parts of a stream that its reader uses. */
export interface ReaderPort {
  readonly names: StreamNames;
  /** Milliseconds since some instant. */
  elapsed(): number;
  /** Returns the present link, if there is one. */
  link(): StreamLink | undefined;
  /** Waits for some work, at most `ms`. */
  within<Result>(work: Promise<Result>, ms: number): Promise<Result>;
  /** Calls `run` after `ms`, unless the stream is closed before. */
  later(run: () => void, ms: number): void;
  /** Called when the reader has ended. */
  ended(reader: StreamReader): void;
}

/** Most messages that are kept because an earlier one is missing. The rest is read again. */
const MOST_HELD = 4_096;
/** Milliseconds that a repeated message may be late before it is read. */
const LATE_MS = 100;
/** Milliseconds without any message after which stored ones are looked for. */
const IDLE_MS = 1_000;
/** Milliseconds that a read may take. */
const READ_MS = 2_000;
/** Reads at a time if the server answers each with one message. */
const SINGLE_READS = 64;
/** Messages whose stored time is remembered, so that another message with the same sequence is detected. */
const REMEMBERED = 4_096;

/**
 * Brings the messages of a stream into order: those that the leader repeats as it stores them, and stored ones where some are missing.
 * Reports a stream that has lost messages, or has other ones than before.
 */
export class StreamReader implements Following {
  readonly #port: ReaderPort;
  readonly #receive: (message: StreamMessage) => void;
  readonly #failed: (error: ContextCacheError) => void;
  readonly #held = new Map<number, StreamMessage>();
  readonly #times = new Float64Array(REMEMBERED);
  readonly #after: number;
  #received: number;
  /** Greatest sequence that is known to exist. */
  #known: number;
  /** The link on which the stream was seen to have the last message that was received. */
  #checked: StreamLink | undefined;
  #isFilling = false;
  #isStopped = false;
  #waitsForLate = false;
  #lastMessageAt: number;
  /** Since when reading finds a later message in place of the next one. */
  #lacksSince: number | undefined;
  /** `true`: the stream ends before a message that existed. */
  readonly #isShort = new Lasting<boolean>();

  constructor(
    after: number,
    receive: (message: StreamMessage) => void,
    failed: (error: ContextCacheError) => void,
    port: ReaderPort,
  ) {
    this.#after = after;
    this.#received = after;
    this.#known = after;
    this.#receive = receive;
    this.#failed = failed;
    this.#port = port;
    this.#lastMessageAt = port.elapsed();
  }

  /** Greatest sequence that is known to exist. */
  get known(): number {
    return this.#known;
  }

  /** Sequence of the last message that was received. */
  get received(): number {
    return this.#received;
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#held.clear();
    this.#port.ended(this);
  }

  /** Takes a message that the leader has repeated. */
  hear(message: StreamMessage): void {
    if (this.#isStopped) return;
    const { sequence, at } = message;
    if (sequence > this.#known) this.#known = sequence;
    if (sequence <= this.#received) {
      this.#compare(sequence, at);
    } else if (sequence === this.#received + 1 && this.#isChecked(this.#port.link())) {
      this.#take(message);
      this.#takeHeld();
    } else {
      if (this.#held.size < MOST_HELD) this.#held.set(sequence, message);
      this.#fillLater();
    }
  }

  /** Learns that a message with this sequence was acknowledged. */
  acknowledged(sequence: number): void {
    if (sequence > this.#known) this.#known = sequence;
    if (sequence > this.#received) this.#fillLater();
  }

  /** Reports a stream that gave a new message a sequence which this reader has already received. */
  rewound(sequence: number): void {
    this.#fail(
      'LOG_CORRUPT',
      `The stream ${this.#port.names.stream} stored a new message as ${sequence}, and this node has already received ${this.#received}: the stream was restored from an older copy, or has lost its end.`,
    );
  }

  /** Reports another incarnation of the stream. */
  replaced(): void {
    const { stream } = this.#port.names;
    this.#fail(
      'LOG_CORRUPT',
      `The stream ${stream} was deleted and created again. Its messages are others than before.`,
    );
  }

  /** Reports a stream that was deleted. */
  deleted(): void {
    this.#fail('LOG_CORRUPT', `The stream ${this.#port.names.stream} was deleted.`);
  }

  /** Starts reading on a new link. */
  async resume(): Promise<void> {
    await this.#fill();
  }

  /**
   * Compares the ends of the stream with what was received. `known` is the greatest sequence that was known when the stream was
   * asked: what comes while the answer is on its way is newer than the answer.
   */
  inspect({ first, last }: Pick<StreamInfo, 'first' | 'last'>, known = this.#known): void {
    if (this.#isStopped) return;
    const { stream } = this.#port.names;
    const now = this.#port.elapsed();
    const isShort = last < known;
    const isCertain = this.#isShort.note(isShort, now);
    const lacks = this.#lacksSince !== undefined && now - this.#lacksSince >= CERTAIN_AFTER_MS;
    if (first > this.#received + 1) {
      const message = `The stream ${stream} starts at ${first}; message ${this.#received + 1} was purged. Start from a snapshot.`;
      this.#fail('POSITION_UNAVAILABLE', message);
    } else if (lacks) {
      this.#fail('LOG_CORRUPT', `The stream ${stream} lacks message ${this.#received + 1}, and has later ones.`);
    } else if (isShort && isCertain) {
      const message = `The stream ${stream} ends at ${last}, and message ${known} existed: it was restored from an older copy, or has lost its end.`;
      this.#fail('LOG_CORRUPT', message);
    }
  }

  /** `true` if the ends of the stream should be read soon. */
  get isSuspicious(): boolean {
    return this.#lacksSince !== undefined || this.#isShort.answer === true;
  }

  /** Looks for messages that were missed. Called now and then. */
  poll(): void {
    if (this.#isStopped) return;
    if (this.#port.elapsed() - this.#lastMessageAt >= IDLE_MS || this.#known > this.#received) void this.#fill();
  }

  /** Returns whether the stream on a link was seen to have the last message that was received, if there is one. */
  #isChecked(link: StreamLink | undefined): boolean {
    if (this.#received === this.#after) this.#checked = link;
    return link === this.#checked;
  }

  /** Compares the last message that was received with that of the stream, once on each link: nothing is taken before. */
  async #check(link: StreamLink): Promise<void> {
    if (this.#isChecked(link)) return;
    const same = await this.#port.within(link.readOne(this.#received), READ_MS);
    if (same !== undefined) this.#compare(same.sequence, same.at);
    this.#checked = link;
  }

  #take(message: StreamMessage): void {
    this.#received = message.sequence;
    this.#times[message.sequence % REMEMBERED] = message.at;
    this.#lastMessageAt = this.#port.elapsed();
    this.#lacksSince = undefined;
    this.#receive(message);
  }

  #takeHeld(): void {
    for (;;) {
      const next = this.#held.get(this.#received + 1);
      if (next === undefined || this.#isStopped) break;
      this.#held.delete(next.sequence);
      this.#take(next);
    }
  }

  /** Takes a message that was read. Returns `true` if it is the next one. */
  #takeRead(message: StreamMessage): boolean {
    if (this.#isStopped) return false;
    if (message.sequence > this.#known) this.#known = message.sequence;
    if (message.sequence > this.#received + 1) this.#lacksSince ??= this.#port.elapsed();
    if (message.sequence !== this.#received + 1) return false;
    this.#held.delete(message.sequence);
    this.#take(message);
    this.#takeHeld();
    return true;
  }

  /** A message that was received already may come again, but only as the same message. */
  #compare(sequence: number, at: number): void {
    if (sequence <= this.#after || sequence <= this.#received - REMEMBERED) return;
    if (this.#times[sequence % REMEMBERED] !== at) this.rewound(sequence);
  }

  #fillLater(): void {
    if (this.#waitsForLate || this.#isFilling) return;
    this.#waitsForLate = true;
    this.#port.later(() => {
      this.#waitsForLate = false;
      if (this.#known > this.#received) void this.#fill();
    }, LATE_MS);
  }

  /** Reads stored messages up to the last one. */
  async #fill(): Promise<void> {
    const link = this.#port.link();
    if (this.#isFilling || this.#isStopped || link === undefined) return;
    this.#isFilling = true;
    try {
      await this.#check(link);
      // Ends with the first page that brings nothing. Messages that are heard meanwhile do not count, because under load some always are.
      for (let page = { took: 1, isBatch: true }; page.took > 0 && !this.#isStopped; ) {
        page = await this.#readPage(link, page.isBatch);
        this.#takeHeld();
      }
      this.#lastMessageAt = this.#port.elapsed();
    } catch {
      // The link is down or stalled. The missing messages are read on the next one, or at the next poll.
    } finally {
      this.#isFilling = false;
    }
    if (this.#isStopped) return;
    for (const sequence of this.#held.keys()) if (sequence <= this.#received) this.#held.delete(sequence);
    if (this.#known > this.#received) this.#fillLater();
  }

  /** Reads one page. Returns how many messages it brought, and whether the server answers with batches. */
  async #readPage(link: StreamLink, isBatch: boolean): Promise<{ took: number; isBatch: boolean }> {
    let took = 0;
    const take = (message: StreamMessage) => {
      if (this.#takeRead(message)) took += 1;
    };
    if (isBatch) {
      const page = await this.#port.within(link.read(this.#received + 1, take), READ_MS);
      return { took, isBatch: page.isBatch || page.count === 0 };
    }
    const first = this.#received + 1;
    const reads = Array.from({ length: SINGLE_READS }, (_, index) => link.readOne(first + index));
    const messages = await this.#port.within(Promise.all(reads), READ_MS);
    for (const message of messages) if (message !== undefined) take(message);
    return { took, isBatch: false };
  }

  #fail(code: 'LOG_CORRUPT' | 'POSITION_UNAVAILABLE', message: string): void {
    if (this.#isStopped) return;
    const remedy =
      code === 'LOG_CORRUPT'
        ? ' Stop the nodes and refound the stream from the most advanced one; see "Refounding" in docs/cluster.md.'
        : '';
    this.stop();
    this.#failed(new ContextCacheError(code, `${message}${remedy}`));
  }
}
