import { isDeepStrictEqual } from 'node:util';
import { connect } from '@nats-io/transport-node';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';

interface Message {
  readonly position: number;
  readonly event_data: { operation: string; namespace: string; key: string | null; value: unknown };
}

/** Everything that a subscriber receives on a topic. */
export class Heard {
  readonly #messages: Message[] = [];
  readonly #connection: Awaited<ReturnType<typeof connect>>;

  private constructor(connection: Awaited<ReturnType<typeof connect>>) {
    this.#connection = connection;
  }

  static async on(url: string, topic: string): Promise<Heard> {
    const heard = new Heard(await connect({ servers: url }));
    heard.#connection.subscribe(topic, { callback: (_error, message) => void heard.#messages.push(message.json()) });
    await heard.#connection.flush();
    return heard;
  }

  /** Throws if a message announces an update that a crash has taken back. */
  checkNotBeyond(head: number): void {
    const beyond = this.#messages.find(({ position }) => position > head);
    if (beyond !== undefined) throw new Error(`Position ${beyond.position} was heard; the log ends at ${head}`);
  }

  /**
   * Checks that every announced update of the log was received, in order except for repetitions, and as it is in the
   * log.
   */
  async checkWhole(dataDir: string): Promise<void> {
    await this.#connection.flush();
    const announced = await updatesOf(dataDir);
    let reached = 0;
    for (const { position, event_data } of this.#messages) {
      const index = announced.findIndex((update) => update.position === position);
      if (index > reached) throw new Error(`Position ${position} was heard before ${announced[reached]?.position}`);
      if (!isDeepStrictEqual(announced[index]?.event_data, event_data))
        throw new Error(`Position ${position} was heard as ${JSON.stringify(event_data).slice(0, 300)}`);
      reached = Math.max(reached, index + 1);
    }
    if (reached < announced.length) throw new Error(`Position ${announced[reached]?.position} was never heard`);
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

/** Returns the announced updates of the log: all except touches. An expiry is announced as a delete. */
async function updatesOf(dataDir: string): Promise<Message[]> {
  const log = await DiskLog.open({ dataDir });
  const messages: Message[] = [];
  for await (const updates of log.read(1)) {
    for (const { position, operation, namespace, key, value } of updates) {
      const name = operation === 'expire' ? 'delete' : operation;
      if (operation !== 'touch') messages.push({ position, event_data: { operation: name, namespace, key, value } });
    }
  }
  await log.close();
  return messages;
}
