import type { DataCommand } from '../core/command.ts';
import { concealedConflict } from '../core/conflict.ts';
import { conflictIn } from '../core/opened.ts';
import type { OriginOptions } from '../core/origin.ts';
import { stamped } from '../core/stamp.ts';
import type { Access } from '../engine/access.ts';
import type { MethodParts } from './method-parts.ts';

/** Runs the writes of an agent. Whether it may make them is judged where commands are admitted. */
export class RestrictedWrites {
  readonly #access: Access;
  readonly #agent: string;
  readonly #guard: MethodParts['guard'];

  constructor(access: Access, agent: string, guard: MethodParts['guard']) {
    this.#access = access;
    this.#agent = agent;
    this.#guard = guard;
  }

  /** Runs a write. `reads` names an entry whose value the write returns. */
  run<Result>(
    options: OriginOptions | undefined,
    write: () => Promise<Result>,
    reads?: { readonly namespace: string; readonly key: string },
  ): Promise<Result> {
    if (!this.#access.isOn) return write();
    return this.#guard(async () => {
      this.mustWriteAsItself(options?.agent);
      if (reads !== undefined) {
        this.#access.require(this.#agent, 'read', reads.namespace, reads.key);
        this.#access.require(this.#agent, 'write', reads.namespace, reads.key);
      }
      try {
        return await write();
      } catch (error) {
        throw this.concealed(error);
      }
    });
  }

  /**
   * Returns a command that names the agent as its writer.
   *
   * @throws {AccessDeniedError} if it names another one.
   */
  named<Command extends (DataCommand | OriginOptions) & { readonly type: string }>(command: Command): Command {
    const named = stamped(command, { agent: this.#agent });
    this.mustWriteAsItself(named.agent);
    return named;
  }

  /** @throws {AccessDeniedError} if a write names another agent. */
  mustWriteAsItself(named: unknown): void {
    const agent = this.#agent;
    if (this.#access.isOn && named !== agent) this.#access.deny({ agent, action: 'write', as: String(named) });
  }

  /** Returns the error of a write without what the agent may not read. */
  concealed(error: unknown): unknown {
    const conflict = conflictIn(error);
    if (conflict === undefined) return error;
    return this.#access.may(this.#agent, 'read', conflict.namespace, conflict.key)
      ? error
      : concealedConflict(conflict);
  }
}
