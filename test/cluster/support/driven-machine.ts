import type { Command } from '../../../src/cluster/machine/commands.ts';
import { Machine } from '../../../src/cluster/machine/machine.ts';
import { encodeMessage } from '../../../src/cluster/machine/message-encoder.ts';
import { UNTIMED } from '../../../src/core/expiry.ts';
import { ModelReplica } from '../../support/model-replica.ts';
import { door } from '../../support/request.ts';

/** A machine whose messages a test writes by hand. */
export class Driven {
  readonly replica = new ModelReplica();
  readonly machine = new Machine(this.replica);
  readonly #counters = new Map<string, number>();
  now = 1_000;

  /** Says hello as a session of this name, for a node of the same name. */
  hello(session: string, given: { minProtocol?: number; maxProtocol?: number; predecessor?: string | null } = {}) {
    const protocols = { minProtocol: 1, maxProtocol: 1, predecessor: null };
    return this.send(session, { type: 'hello', node: session, version: '1', ...protocols, ...given });
  }

  send(session: string, ...commands: Command[]) {
    const counter = (this.#counters.get(session) ?? 0) + 1;
    this.#counters.set(session, counter);
    return this.message(session, counter, commands);
  }

  message(session: string, counter: number, commands: Command[], seen = { seenSequence: 0, seenHash: 0 }) {
    const { bytes } = encodeMessage({ session, counter, ...seen }, commands);
    return this.raw(bytes);
  }

  raw(data: Uint8Array) {
    return this.machine.apply({ sequence: this.machine.sequence + 1, at: this.now, data });
  }

  get(namespace: string, key: string) {
    return this.replica.namespaces.get(namespace)?.entries.get(key)?.value;
  }
}

/** Creates the command that sets a key of the namespace `a`. */
export const set = (key: string, value: number, options?: Parameters<typeof door.set>[4]) =>
  door.set(UNTIMED, 'a', key, value, options);
