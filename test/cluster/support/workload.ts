import { type AgentContextCache, ContextCacheError, VersionConflictError } from '../../../src/index.ts';
import type { Answer, Ask, Operation } from '../checkers/history.ts';

/** The only key of a namespace. */
const KEY = 'k';
/** Sessions for each key that is in use. */
const SESSIONS_A_KEY = 1.5;
/** Operations after which a key is replaced by a new one. */
const OPERATIONS_A_KEY = 60;
/** Codes of errors after which nothing was done. */
const NOT_DONE: ReadonlySet<string> = new Set(['LOG_UNAVAILABLE', 'OVERLOADED']);

/** Sessions that write and read on the nodes of a cluster, and what they were answered. */
export class Workload {
  readonly operations: Operation[] = [];
  /** Longest time between two writes that were done, ms. */
  longestGapMs = 0;
  #names = 0;
  #lastDoneAt = performance.now();
  readonly #keys: { name: string; left: number }[] = [];
  readonly #prefix: string;

  constructor(prefix: string, sessions: number) {
    this.#prefix = prefix;
    for (let index = 0; index < sessions / SESSIONS_A_KEY; index += 1) this.#keys.push(this.#newKey());
  }

  /** Runs a session until `isOver`; `nodeOf` gives the node at the moment. Each operation is awaited before the next. */
  async session(name: string, nodeOf: () => AgentContextCache | undefined, isOver: () => boolean): Promise<void> {
    const versions = new Map<string, number>();
    let incarnation = 0;
    let node: AgentContextCache | undefined;
    while (!isOver()) {
      const present = nodeOf();
      if (present === undefined) {
        await sleep(20);
        continue;
      }
      // A session stays on one node; what reads another node is another session.
      if (present !== node) incarnation += 1;
      node = present;
      const operation = await this.#operate(`${name}.${incarnation}`, node, versions);
      this.operations.push(operation);
      const { answer } = operation;
      if (answer.type === 'unknown') incarnation += 1;
      if (answer.type === 'unknown' || answer.type === 'refused') await sleep(50);
      else await sleep(Math.random() * 3);
    }
  }

  async #operate(session: string, node: AgentContextCache, versions: Map<string, number>): Promise<Operation> {
    const key = this.#pickKey();
    const ask = this.#pickAsk(versions.get(key));
    const calledAt = performance.now();
    const answer = await answerOf(node, key, ask);
    const now = performance.now();
    if ('version' in answer && answer.version !== undefined) versions.set(key, answer.version);
    if (answer.type === 'read' && answer.value === undefined) versions.set(key, 0);
    if (answer.type === 'done') {
      this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastDoneAt);
      this.#lastDoneAt = now;
    }
    return { session, key, ask, calledAt, returnedAt: answer.type === 'unknown' ? Infinity : now, answer };
  }

  #pickKey(): string {
    const index = Math.floor(Math.random() * this.#keys.length);
    const key = this.#keys[index] as { name: string; left: number };
    key.left -= 1;
    if (key.left <= 0) this.#keys[index] = this.#newKey();
    return key.name;
  }

  #newKey() {
    this.#names += 1;
    return { name: `${this.#prefix}-${this.#names}`, left: OPERATIONS_A_KEY };
  }

  #pickAsk(version: number | undefined): Ask {
    const draw = Math.random();
    if (draw < 0.2) return { type: 'get', isAfterBarrier: false };
    if (draw < 0.4) return { type: 'get', isAfterBarrier: true };
    const condition = version !== undefined && Math.random() < 0.4 ? { ifVersion: version } : {};
    if (draw < 0.5) return { type: 'delete', ...condition };
    this.#names += 1;
    const value = `${this.#prefix}/${this.#names}`;
    return { type: 'set', value, ...condition, ...(draw > 0.9 ? { ttl: 200 } : {}) };
  }
}

async function answerOf(node: AgentContextCache, namespace: string, ask: Ask): Promise<Answer> {
  try {
    if (ask.type === 'get') {
      if (ask.isAfterBarrier) await node.barrier();
      const entry = node.entry(KEY, namespace);
      return { type: 'read', value: entry?.value as string | undefined, version: entry?.version };
    }
    const { ifVersion, ...rest } = ask;
    const options = { ...(ifVersion === undefined ? {} : { ifVersion }), ...('ttl' in rest ? { ttl: rest.ttl } : {}) };
    const { version, changed } =
      ask.type === 'set'
        ? await node.set(KEY, ask.value, namespace, options)
        : await node.delete(KEY, namespace, options);
    return { type: 'done', version, isChanged: changed };
  } catch (error) {
    if (error instanceof VersionConflictError) return { type: 'conflict', version: error.current?.version ?? 0 };
    if (error instanceof ContextCacheError && NOT_DONE.has(error.code)) return { type: 'refused' };
    // A read changes nothing, so one that failed has no outcome to judge.
    return ask.type === 'get' ? { type: 'refused' } : { type: 'unknown' };
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
