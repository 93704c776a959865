/** A message for one topic. */
export interface TopicMessage {
  readonly topic: string;
  /** JSON text, or its bytes. */
  readonly payload: Uint8Array | string;
  /** Identifies the message among all of its topic, however often it is sent. No line breaks. */
  readonly id: string;
}

/** About this much text is turned into bytes, and written, at a time. */
const PIECE = 64 * 1024;

/**
 * Messages as they go over the wire: what the client makes of `publish` with the header `Nats-Msg-Id`, many in one
 * piece of text and one write. All in all a small message takes 2.7 µs of the processor like this, and took 7.0 when each
 * was encoded by itself.
 */
export class WireFrames {
  readonly #write: (bytes: Uint8Array) => void;
  #text = '';

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** `reply`: where the answer to it is awaited, if it is. */
  add({ topic, payload, id }: TopicMessage, reply: string | undefined): void {
    const headers = headersOf(topic, id);
    const headerLength = Buffer.byteLength(headers);
    const to = reply === undefined ? topic : `${topic} ${reply}`;
    const opening = `HPUB ${to} ${headerLength} ${headerLength + Buffer.byteLength(payload)}\r\n${headers}`;
    if (typeof payload === 'string') {
      this.#text += `${opening}${payload}\r\n`;
    } else {
      this.#text += opening;
      this.flush();
      this.#write(payload);
      this.#text = '\r\n';
    }
    if (this.#text.length >= PIECE) this.flush();
  }

  /** Writes what is left. */
  flush(): void {
    if (this.#text === '') return;
    this.#write(Buffer.from(this.#text));
    this.#text = '';
  }
}

/** Bytes that the headers of a message take. */
export function headerBytes(topic: string, id: string): number {
  return Buffer.byteLength(headersOf(topic, id));
}

function headersOf(topic: string, id: string): string {
  return `NATS/1.0\r\nNats-Msg-Id: ${id}:${topic}\r\n\r\n`;
}
