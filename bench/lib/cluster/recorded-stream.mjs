import { readFileSync, writeFileSync } from 'node:fs';
import { AgentContextCache, INTERNALS, joinCluster } from '../ours.mjs';

/** Bytes of messages that a node gets in a turn, as a socket gives them. */
const TURN_BYTES = 64 * 1024;

/**
 * A stream in memory with one node, so that a question measures a node and no servers. `messages`: those of another node,
 * which come first, when {@link RecordedStream.play} delivers them.
 */
export class RecordedStream {
  connected = true;
  problem = undefined;
  onProblem = undefined;
  /** In their order; the first has the sequence 1. */
  messages;
  #next = 0;
  #receive;

  constructor(messages = []) {
    this.messages = messages;
  }

  publish(message) {
    const sequence = this.messages.push({ sequence: this.messages.length + 1, at: Date.now(), data: message.slice() });
    // Not before what is held back.
    if (this.#next === sequence - 1) setImmediate(() => this.#deliver(sequence));
    return Promise.resolve(sequence);
  }

  follow(_, receive) {
    this.#receive = receive;
    return { stop() {} };
  }

  info() {
    const about = { epoch: 'recorded', replicas: 1, syncs: undefined, serverVersion: undefined };
    return Promise.resolve({ first: 1, last: this.messages.length, maxBytes: 1024 * 1024, isSettled: true, ...about });
  }

  async purge() {}

  async close() {}

  /** Delivers the messages up to `upTo`, some in each turn. */
  async play(upTo) {
    while (this.#receive === undefined) await new Promise(setImmediate);
    while (this.#next < upTo) {
      let end = this.#next;
      for (let bytes = 0; end < upTo && bytes < TURN_BYTES; end += 1) bytes += this.messages[end].data.length;
      this.#deliver(end);
      await new Promise(setImmediate);
    }
  }

  #deliver(upTo) {
    while (this.#next < upTo) {
      this.#next += 1;
      this.#receive(this.messages[this.#next - 1]);
    }
  }
}

/** Opens a cache that is a node on a stream. */
export function openOn(stream, { node, ...options }) {
  const create = async (engineOptions, storage) => {
    const cache = await AgentContextCache.over(engineOptions, storage);
    return { cache, parts: cache[INTERNALS].parts };
  };
  const join = { stream, node, version: '0.0.0', writeTimeoutMs: 600_000, maxQueued: 1_000_000 };
  return joinCluster({ natsUrl: null, ...options }, join, create);
}

/** Writes messages to a file: length, time, bytes. */
export function saveMessages(file, messages) {
  const parts = messages.flatMap(({ at, data }) => {
    const heading = Buffer.alloc(12);
    heading.writeUInt32LE(data.length);
    heading.writeDoubleLE(at, 4);
    return [heading, data];
  });
  writeFileSync(file, Buffer.concat(parts));
}

export function loadMessages(file) {
  const bytes = readFileSync(file);
  const messages = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 12 + bytes.readUInt32LE(at);
    const data = bytes.subarray(at + 12, end);
    messages.push({ sequence: messages.length + 1, at: bytes.readDoubleLE(at + 4), data });
    at = end;
  }
  return messages;
}
