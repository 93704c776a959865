import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { encode } from '../../src/core/encoding/codec.ts';
import { MessageReader } from '../../src/core/encoding/message-reader.ts';
import type { CacheServer } from '../../src/server.ts';
import type { Hello } from '../../src/wire/socket-protocol.ts';
import { waitFor } from './cli.ts';

/** A client that sends what it likes. */
export class RawClient {
  readonly frames: unknown[][] = [];
  closed: number | undefined;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('close', (code) => {
      this.closed = code;
    });
    socket.on('message', (data) => {
      const message = data as Buffer;
      const reader = new MessageReader(true);
      reader.begin(message);
      while (reader.at < message.length) this.frames.push(reader.value(false) as unknown[]);
    });
  }

  static async open(server: CacheServer, token = server.token): Promise<RawClient> {
    const headers = { authorization: `Bearer ${token}` };
    const client = new RawClient(new WebSocket(`${server.url.replace('http', 'ws')}/v1/connect`, { headers }));
    await waitFor(() => expect(client.frames).toHaveLength(1));
    return client;
  }

  get hello(): Hello {
    return this.frames[0]?.[2] as Hello;
  }

  send(...frames: unknown[][]): void {
    this.socket.send(Buffer.concat(frames.map((frame) => encode(frame))));
  }

  async answer(id: number): Promise<unknown[]> {
    return waitFor(() => {
      const frame = this.frames.find(([each]) => each === id);
      expect(frame).toBeDefined();
      return frame as unknown[];
    });
  }
}
