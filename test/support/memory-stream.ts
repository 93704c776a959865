import type { CommandStream, Following, StreamInfo, StreamMessage } from '../../src/cluster/command-stream.ts';
import { ContextCacheError } from '../../src/core/errors.ts';

/** What happens to a published message. One that is stored late was held up on its way, and nothing is known of it until then. */
export type Fate = 'stored' | 'stored, acknowledgement lost' | 'stored late' | 'lost' | 'refused' | 'stored twice';

interface Follower {
  next: number;
  readonly receive: (message: StreamMessage) => void;
  readonly failed: (error: ContextCacheError) => void;
  isPending: boolean;
  isStopped: boolean;
}

/**
 * A stream in memory that several nodes share, for tests and simulations. Each node {@link connect}s. Time and faults are
 * those that the test gives. Messages are delivered in later turns.
 */
export class MemoryStream {
  /** Decides the fate of each message. Default: it is stored. */
  fateOf: (message: Uint8Array) => Fate = () => 'stored';
  /** Runs a delivery or an acknowledgement. A simulation puts it into a queue of its own. Default: the next turn. */
  schedule: (run: () => void) => void = setImmediate;
  epoch = 'memory';
  /** `false`: a leader was just elected, and may not have come to its own end. */
  isSettled = true;
  #messages: StreamMessage[] = [];
  #first = 1;
  #last = 0;
  readonly #now: () => number;
  readonly #followers = new Set<Follower>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** All messages that are still stored. */
  get messages(): readonly StreamMessage[] {
    return this.#messages;
  }

  get last(): number {
    return this.#last;
  }

  /** Stores a message as another client of the server would. */
  append(data: Uint8Array, at = this.#now()): number {
    this.#last += 1;
    this.#messages.push({ sequence: this.#last, at, data: Uint8Array.from(data) });
    for (const follower of this.#followers) this.#deliver(follower);
    return this.#last;
  }

  purge(upTo: number): void {
    this.#first = Math.max(this.#first, Math.min(upTo, this.#last) + 1);
    this.#messages = this.#messages.filter(({ sequence }) => sequence >= this.#first);
  }

  /** Returns to an older copy of the stream, as a restore from a backup does. */
  rewind(to: number): void {
    this.#last = to;
    this.#messages = this.#messages.filter(({ sequence }) => sequence <= to);
    for (const follower of this.#followers) {
      if (follower.next > to + 1) this.#fail(follower, rewound(to, follower.next - 1));
    }
  }

  info(): StreamInfo {
    return {
      ...{ first: this.#first, last: this.#last, epoch: this.epoch, replicas: 1 },
      ...{ syncs: undefined, serverVersion: undefined, maxBytes: 1024 * 1024, isSettled: this.isSettled },
    };
  }

  /** Returns the stream as a node sees it. */
  connect(): MemoryConnection {
    return new MemoryConnection(this);
  }

  follow(after: number, receive: Follower['receive'], failed: Follower['failed']): Following {
    const follower: Follower = { next: after + 1, receive, failed, isPending: false, isStopped: false };
    this.#followers.add(follower);
    if (after > this.#last) this.schedule(() => this.#fail(follower, rewound(this.#last, after)));
    else this.#deliver(follower);
    return {
      stop: () => {
        follower.isStopped = true;
        this.#followers.delete(follower);
      },
    };
  }

  #deliver(follower: Follower): void {
    if (follower.isPending || follower.isStopped) return;
    follower.isPending = true;
    this.schedule(() => {
      follower.isPending = false;
      while (!follower.isStopped && follower.next <= this.#last) {
        if (follower.next < this.#first) {
          const message = `The stream starts at ${this.#first}; message ${follower.next} was purged.`;
          this.#fail(follower, new ContextCacheError('POSITION_UNAVAILABLE', message));
          return;
        }
        const message = this.#messages[follower.next - this.#first] as StreamMessage;
        follower.next += 1;
        follower.receive(message);
      }
    });
  }

  #fail(follower: Follower, error: ContextCacheError): void {
    if (follower.isStopped) return;
    follower.isStopped = true;
    this.#followers.delete(follower);
    follower.failed(error);
  }
}

/** One node's connection to a {@link MemoryStream}, which a test can cut. */
export class MemoryConnection implements CommandStream {
  readonly #stream: MemoryStream;
  readonly #following = new Set<{ after: number; stop: () => void; start: () => void }>();
  #isConnected = true;
  #isClosed = false;

  constructor(stream: MemoryStream) {
    this.#stream = stream;
  }

  get connected(): boolean {
    return this.#isConnected;
  }

  onProblem: CommandStream['onProblem'];

  /** A stream in memory always works, or is cut. */
  get problem(): undefined {
    return undefined;
  }

  /** Loses the connection: nothing is sent or received until {@link restore}. */
  cut(): void {
    this.#isConnected = false;
    for (const each of this.#following) each.stop();
  }

  restore(): void {
    this.#isConnected = true;
    for (const each of this.#following) each.start();
  }

  publish(message: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(new ContextCacheError('CLOSED', 'The connection is closed.'));
    if (!this.#isConnected) return Promise.reject(unavailable());
    const fate = this.#stream.fateOf(message);
    if (fate === 'refused') return Promise.reject(unavailable());
    const sequence = fate === 'lost' || fate === 'stored late' ? 0 : this.#stream.append(message);
    if (fate === 'stored late') this.#stream.schedule(() => this.#stream.append(message));
    if (fate === 'stored twice') this.#stream.append(message);
    return new Promise((resolve, reject) => {
      this.#stream.schedule(() => {
        if (this.#isConnected && (fate === 'stored' || fate === 'stored twice')) resolve(sequence);
        else reject(new ContextCacheError('OUTCOME_UNKNOWN', 'The stream did not acknowledge the message in time.'));
      });
    });
  }

  follow(
    after: number,
    receive: (message: StreamMessage) => void,
    failed: (error: ContextCacheError) => void,
  ): Following {
    let following: Following | undefined;
    const each = {
      after,
      stop: () => {
        following?.stop();
        following = undefined;
      },
      start: () => {
        following ??= this.#stream.follow(
          each.after,
          (message) => {
            each.after = message.sequence;
            receive(message);
          },
          failed,
        );
      },
    };
    this.#following.add(each);
    if (this.#isConnected) each.start();
    return {
      stop: () => {
        this.#following.delete(each);
        each.stop();
      },
    };
  }

  info(): Promise<StreamInfo> {
    return this.#isConnected ? Promise.resolve(this.#stream.info()) : Promise.reject(unavailable());
  }

  purge(upTo: number): Promise<void> {
    if (!this.#isConnected) return Promise.reject(unavailable());
    this.#stream.purge(upTo);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const each of this.#following) each.stop();
    this.#following.clear();
    return Promise.resolve();
  }
}

function unavailable(): ContextCacheError {
  return new ContextCacheError('LOG_UNAVAILABLE', 'The stream cannot be reached. Nothing was stored.');
}

function rewound(last: number, known: number): ContextCacheError {
  const message = `The stream ends at ${last} and this node has received ${known}: it was restored from an older copy or has lost its end.`;
  return new ContextCacheError('LOG_CORRUPT', message);
}
