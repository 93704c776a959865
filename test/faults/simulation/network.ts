import type { Random } from '../support.ts';
import type { Timeline } from './timeline.ts';
import type { Living } from './trouble.ts';

/** A machine that can be called. */
export abstract class Server {
  readonly name: string;
  /** Instant until which it is unreachable. */
  awayUntil = 0;
  readonly #connections = new Set<SimConnection>();

  constructor(name: string) {
    this.name = name;
  }

  /** Loses what it had not stored, and all connections. */
  crash(random: Random): void {
    for (const connection of this.#connections) connection.serverCrashed();
    this.#connections.clear();
    this.lose(random);
  }

  accept(connection: SimConnection): void {
    this.#connections.add(connection);
  }

  /** For the connection. */
  forget(connection: SimConnection): void {
    this.#connections.delete(connection);
  }

  protected abstract lose(random: Random): void;
}

/** The fate of one call. */
type Fate = 'done' | 'lost' | 'unanswered' | 'broken' | 'hangs';
const FATES: readonly Fate[] = ['lost', 'unanswered', 'broken', 'hangs'];

/** Delays, drops and hangs calls, and lets calls of an old connection arrive after those of a newer one. */
export class SimNetwork {
  /** Share of calls that go wrong. */
  faultRate = 0;
  readonly timeline: Timeline;
  readonly random: Random;

  readonly #jitter: () => number;

  constructor(timeline: Timeline, random: Random, jitter: () => number = () => 0) {
    this.timeline = timeline;
    this.random = random;
    this.#jitter = jitter;
  }

  connect(process: Living, server: Server): SimConnection {
    return new SimConnection(this, process, server);
  }

  /** Mostly short. */
  delay(): number {
    const slow = this.random.below(20) === 0;
    return this.#jitter() + this.random.next() * (slow ? 400 : 4);
  }

  fate(): Fate {
    return this.random.next() < this.faultRate ? this.random.pick(FATES) : 'done';
  }
}

/** A connection. Calls arrive in order, each at most once. A call sent before the end may still arrive after it. */
export class SimConnection {
  readonly #network: SimNetwork;
  readonly #process: Living;
  readonly #server: Server;
  #arrivesAt = 0;
  #broken: Error | undefined;
  /** Set once a call was lost: no later one arrives either. */
  #cut = false;
  readonly #waiting = new Set<(cause: Error) => void>();

  constructor(network: SimNetwork, process: Living, server: Server) {
    this.#network = network;
    this.#process = process;
    this.#server = server;
    server.accept(this);
  }

  get broken(): Error | undefined {
    return this.#broken;
  }

  /** Runs a task on the server and returns its result. */
  call<T>(what: string, run: () => T): Promise<T> {
    const { timeline } = this.#network;
    return new Promise((resolve, reject) => {
      if (!this.#process.alive) return;
      if (this.#broken !== undefined) return reject(this.#broken);
      const fail = (cause: Error) => {
        if (!this.#waiting.delete(fail)) return;
        if (this.#process.alive) reject(cause);
      };
      this.#waiting.add(fail);
      const fate = this.#network.fate();
      this.#arrivesAt = Math.max(this.#arrivesAt, timeline.now + this.#network.delay());
      const delay = this.#arrivesAt - timeline.now;
      if (fate === 'lost') {
        // Later calls on this connection do not arrive either.
        this.#end(new Error(`simulated: ${this.#server.name} lost ${what}`), delay);
        return;
      }
      timeline.after(delay, () =>
        this.#arrive(what, run, fate, (result) => this.#waiting.delete(fail) && resolve(result)),
      );
    });
  }

  /** Called once when it breaks by itself. */
  onLost: (cause: Error) => void = () => {};

  /** Ends the connection for the server: calls under way do not arrive, and the other end is notified. */
  serverCrashed(): void {
    this.#cut = true;
    const cause = new Error(`simulated: ${this.#server.name} crashed`);
    this.#network.timeline.after(this.#network.delay(), () => {
      if (!this.#process.alive || this.#broken !== undefined) return;
      this.#end(cause, 0);
      this.onLost(cause);
    });
  }

  /** Ends the connection. Calls that were sent may still arrive. */
  close(): void {
    this.#server.forget(this);
    this.#end(new Error('simulated: closed'), 0);
  }

  #arrive<T>(what: string, run: () => T, fate: Fate, answer: (result: T) => void): void {
    const { timeline } = this.#network;
    if (this.#cut) return;
    if (timeline.now < this.#server.awayUntil) {
      this.#cut = true;
      const hangs = this.#network.random.below(3) === 0;
      if (!hangs) this.#end(new Error(`simulated: ${this.#server.name} cannot be reached`), 0);
      return;
    }
    if (fate === 'broken') {
      this.#cut = true;
      this.#end(new Error(`simulated: ${this.#server.name} refused ${what}`), 0);
      return;
    }
    timeline.trace.note(`${this.#server.name} ${what}`);
    let result: T;
    try {
      result = run();
    } catch (error) {
      timeline.after(this.#network.delay(), () => this.#end(error as Error, 0));
      return;
    }
    if (fate === 'hangs') return;
    if (fate === 'unanswered')
      this.#end(new Error(`simulated: ${this.#server.name} did not answer ${what}`), this.#network.delay());
    else timeline.after(this.#network.delay(), () => this.#process.alive && answer(result));
  }

  #end(cause: Error, delay: number): void {
    this.#broken ??= cause;
    const waiting = [...this.#waiting];
    if (waiting.length === 0) return;
    if (delay === 0) for (const fail of waiting) fail(cause);
    else this.#network.timeline.after(delay, () => waiting.forEach((fail) => void fail(cause)));
  }
}
