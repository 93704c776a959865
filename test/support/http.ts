import { request } from 'node:http';

/** A running HTTP server: `serve` in another process, or an `HttpServer` in this one. */
interface Reachable {
  readonly port: number;
  readonly token: string;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** Sends a request with the token. `fetch` would not let a test choose the header Host. */
export function send(
  server: Reachable,
  path: string,
  { method = 'GET', headers = {}, body = '' as string | Buffer } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const all = { authorization: `Bearer ${server.token}`, ...headers };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
    const sent = request({ host: '127.0.0.1', port: server.port, path, method, headers: given }, async (response) => {
      let text = '';
      for await (const piece of response.setEncoding('utf8')) text += piece;
      resolve({ status: response.statusCode ?? 0, body: text });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export const JSON_BODY = { 'content-type': 'application/json' };

/** Posts one command. */
export const sendCommand = (server: Reachable, asked: unknown) =>
  send(server, '/v1/command', { method: 'POST', headers: JSON_BODY, body: JSON.stringify(asked) });
