import { createConnection, type Socket } from 'node:net';

/**
 * A NATS client over a plain socket, written from the published protocol alone, so that it does not depend on the client
 * library under test. See https://docs.nats.io/reference/reference-protocols/nats-protocol
 */
export interface RawSubscription {
  /** Grows as messages come, in the order of arrival. */
  readonly messages: RawMessage[];
  /** Resolves when the server has handled everything sent before, and everything it had sent has arrived. */
  flush(): Promise<void>;
  /** Publishes a message; call {@link flush} to know that it arrived. */
  publish(subject: string, payload: string | Uint8Array, reply?: string): void;
  /** Closes the connection. */
  close(): void;
}

export interface RawMessage {
  readonly subject: string;
  /** The raw header block, `NATS/1.0` line included; `undefined` for a message without headers. */
  readonly headers: string | undefined;
  readonly payload: string;
  readonly reply?: string;
}

/** Connects and subscribes; when the promise resolves the server has taken every subscription. */
export async function subscribeRaw(url: string, subjects: readonly string[]): Promise<RawSubscription> {
  const { hostname, port, username, password } = new URL(url);
  const socket = createConnection({ host: hostname, port: Number(port || 4222) });
  const client = new RawClient(socket);
  const login = username === '' ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  const connect = { verbose: false, pedantic: false, headers: true, lang: 'raw', version: '0', protocol: 1, ...login };
  socket.write(`CONNECT ${JSON.stringify(connect)}\r\n`);
  subjects.forEach((subject, index) => {
    socket.write(`SUB ${subject} ${index + 1}\r\n`);
  });
  await client.flush();
  return client;
}

const LINE_END = Buffer.from('\r\n');

class RawClient implements RawSubscription {
  readonly messages: RawMessage[] = [];
  readonly #socket: Socket;
  readonly #flushes: { resolve: () => void; reject: (reason: Error) => void }[] = [];
  #unread: Buffer = Buffer.alloc(0);
  /** Why no more messages will come. */
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('The NATS connection was closed.')));
  }

  flush(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#flushes.push({ resolve, reject });
      this.#socket.write('PING\r\n');
    });
  }

  publish(subject: string, payload: string | Uint8Array, reply?: string): void {
    const bytes = Buffer.from(payload as Uint8Array);
    const line = `PUB ${subject} ${reply === undefined ? '' : `${reply} `}${bytes.length}\r\n`;
    this.#socket.write(Buffer.concat([Buffer.from(line), bytes, LINE_END]));
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    for (let used = this.#next(); used > 0; used = this.#next()) this.#unread = this.#unread.subarray(used);
  }

  /** Handles one protocol message. Returns its length in bytes, or 0 if it is not complete yet. */
  #next(): number {
    const lineLength = this.#unread.indexOf(LINE_END);
    if (lineLength < 0) return 0;
    const line = this.#unread.toString('utf8', 0, lineLength);
    const start = lineLength + LINE_END.length;
    const words = line.trim().split(/[ \t]+/);
    const verb = words.shift()?.toUpperCase();
    if (verb === 'MSG' || verb === 'HMSG') return this.#message(words, verb === 'HMSG', start);
    if (verb === 'PING') this.#socket.write('PONG\r\n');
    else if (verb === 'PONG') this.#flushes.shift()?.resolve();
    else if (verb === '-ERR') this.#fail(new Error(`The NATS server says ${line}`));
    return start;
  }

  /** `MSG subject sid [reply] size`, `HMSG subject sid [reply] headerSize size`; sizes are in bytes. */
  #message(words: string[], hasHeaders: boolean, start: number): number {
    const size = Number(words.pop());
    const headerSize = hasHeaders ? Number(words.pop()) : 0;
    const end = start + size;
    if (this.#unread.length < end + LINE_END.length) return 0;
    const [subject = '', , reply] = words;
    this.messages.push({
      subject,
      headers: hasHeaders ? this.#unread.toString('utf8', start, start + headerSize) : undefined,
      payload: this.#unread.toString('utf8', start + headerSize, end),
      ...(reply === undefined ? {} : { reply }),
    });
    return end + LINE_END.length;
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    for (const flush of this.#flushes.splice(0)) flush.reject(this.#failure);
  }
}
