import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type CacheHealth, ContextCacheError, type ErrorCode } from '../../../src/index.ts';

/** Options of a node in a process: those of `AgentContextCache.open`, as JSON. */
export interface FaultyOptions {
  readonly cluster: { readonly servers: readonly string[]; readonly name: string; readonly node: string };
  readonly dataDir?: string;
  readonly redisUrl?: string;
  /** The protocols that it understands. Default: those of this build. */
  readonly internals?: { readonly protocols: { readonly min: number; readonly max: number } };
  /** Folder of another build of the package. */
  readonly build?: string;
}

interface Answers {
  readonly write: string[];
  readonly flip: null;
  readonly barrier: null;
  readonly raise: number;
  readonly reached: null;
  readonly health: CacheHealth;
  readonly state: { readonly digest: string; readonly position: number; readonly keys: readonly string[] };
  readonly get: unknown;
  readonly close: null;
}

type Pending = { readonly resolve: (result: never) => void; readonly reject: (error: Error) => void };
type Reply = { id: number; result: never; error?: { code: ErrorCode; message: string } };

/** A node in a process of its own, which a test asks to work, pauses, and changes as broken memory would. */
export class FaultyNode {
  readonly process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.process = child;
    child.on('message', ({ id, result, error }: Reply) => {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) pending?.resolve(result);
      else pending?.reject(new ContextCacheError(error.code, error.message));
    });
    child.on('exit', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('The node has ended.'));
    });
  }

  /** Starts a node. Resolves once it has joined. It is killed at the end of the test. */
  static async start(options: FaultyOptions): Promise<FaultyNode> {
    const script = join(import.meta.dirname, 'faulty-child.mjs');
    const child = fork(script, [JSON.stringify(options)], { execArgv: [] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [first] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [unknown];
    if (typeof first !== 'object') throw new Error(`The node ${options.cluster.node} did not start.`);
    return new FaultyNode(child);
  }

  ask<Question extends keyof Answers>(question: Question, details: object = {}): Promise<Answers[Question]> {
    return new Promise<Answers[Question]>((resolve, reject) => {
      this.#lastId += 1;
      this.#pending.set(this.#lastId, { resolve, reject });
      this.process.send({ id: this.#lastId, ask: question, ...details });
    });
  }
}
