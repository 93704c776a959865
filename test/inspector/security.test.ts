import { once } from 'node:events';
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { LIVE_PROTOCOL } from '../../src/inspector/live-protocol.ts';
import type { Addresses } from '../../src/inspector/protocol.ts';
import { PARAMETERS, ROUTES, WRITES } from '../../src/inspector/server/routes.ts';
import { type Looking, look } from '../support/inspector.ts';

/** Sends a request with a chosen Host, which `fetch` does not allow. */
async function status(looking: Looking, path: string, headers: Record<string, string>): Promise<number | undefined> {
  const { port } = looking.inspector;
  const sent = request({ host: '127.0.0.1', port, path, headers });
  sent.end();
  const [response] = await once(sent, 'response');
  response.resume();
  return response.statusCode;
}

/** Returns the status that refuses the WebSocket; 101 if it opens. */
async function upgraded(
  looking: Looking,
  path: string,
  { token, ...options }: { token?: string; origin?: string; headers?: Record<string, string> },
): Promise<number> {
  const protocols = token === undefined ? [LIVE_PROTOCOL] : [LIVE_PROTOCOL, `token.${token}`];
  const socket = new WebSocket(`ws://127.0.0.1:${looking.inspector.port}${path}`, protocols, options);
  socket.on('error', () => {});
  return new Promise((resolve) => {
    socket.on('unexpected-response', (_, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('open', () => {
      socket.close();
      resolve(101);
    });
  });
}

describe('a request is accepted', () => {
  test('only with the token', async () => {
    const { looking } = await look();
    const { token } = looking.inspector;
    expect(token).toMatch(/^[\w-]{43}$/);
    expect((await looking.fetch('/api/meta')).status).toBe(200);
    for (const authorization of ['', 'Bearer ', `Bearer ${token}x`, `Bearer ${token.slice(1)}`, token]) {
      const refused = await looking.fetch('/api/meta', { headers: { authorization } });
      expect([authorization, refused.status]).toEqual([authorization, 401]);
      expect(await refused.text()).not.toContain(token);
    }
    expect((await looking.fetch(`/api/meta?token=${token}`, { headers: {} })).status).toBe(401);
    expect((await looking.fetch('/api/meta', { headers: { cookie: `token=${token}` } })).status).toBe(401);
  });

  test("only under the inspector's own name", async () => {
    const { looking } = await look();
    const { token, port } = looking.inspector;
    const authorization = `Bearer ${token}`;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
      expect([host, await status(looking, '/api/meta', { authorization, host })]).toEqual([host, 200]);
    }
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1:1`, `10.0.0.1:${port}`]) {
      expect([host, await status(looking, '/api/meta', { authorization, host })]).toEqual([host, 403]);
      expect([host, await status(looking, '/', { host })]).toEqual([host, 403]);
    }
  });

  test('from no other page', async () => {
    const { looking } = await look();
    const { token, port } = looking.inspector;
    const authorization = `Bearer ${token}`;
    expect(await status(looking, '/api/meta', { authorization, origin: looking.origin })).toBe(200);
    for (const origin of [
      'http://evil.example',
      `https://127.0.0.1:${port}`,
      'null',
      `http://127.0.0.1:${port}.evil.example`,
    ]) {
      expect([origin, await status(looking, '/api/meta', { authorization, origin })]).toEqual([origin, 403]);
    }
  });

  test.each(['/api/live', '/api/foreign'])('by the WebSocket %s on the same conditions', async (path) => {
    const { looking } = await look();
    const { token, port } = looking.inspector;
    const own = path === '/api/foreign' ? `${path}?token=${token}` : path;
    expect(await upgraded(looking, own, { token })).toBe(101);
    expect(await upgraded(looking, own, { token, origin: looking.origin })).toBe(101);
    expect(await upgraded(looking, own, { token, origin: 'http://evil.example' })).toBe(403);
    expect(await upgraded(looking, own, { token, headers: { host: `evil.example:${port}` } })).toBe(403);
    expect(await upgraded(looking, path, {})).toBe(401);
    expect(await upgraded(looking, `${path}?token=${token}x`, { token: `${token}x` })).toBe(401);
    expect(await upgraded(looking, '/api/other', { token })).toBe(404);
  });

  test('with a token in the address only for producers', async () => {
    const { looking } = await look();
    expect(await upgraded(looking, `/api/live?token=${looking.inspector.token}`, {})).toBe(401);
  });

  test("with a token of the user's own, if it is long enough", async () => {
    const { looking } = await look({ token: 'my-own-token-of-20-letters' });
    expect(looking.inspector.url).toContain('#token=my-own-token-of-20-letters');
    expect((await looking.fetch('/api/meta')).status).toBe(200);
    await expect(look({ token: 'short' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('under any numeric address, and no other name, if it listens beyond loopback', async () => {
    const { looking } = await look({ host: '0.0.0.0' });
    const { token, port } = looking.inspector;
    const authorization = `Bearer ${token}`;
    expect(await status(looking, '/api/meta', { authorization, host: `192.168.7.7:${port}` })).toBe(200);
    expect(await status(looking, '/api/meta', { authorization, host: `evil.example:${port}` })).toBe(403);
    expect(await status(looking, '/api/meta', { authorization, host: `192.168.7.7:1` })).toBe(403);
  });
});

describe('the page', () => {
  test('needs no token, has nothing inline or from elsewhere, and allows no frame', async () => {
    const { looking } = await look();
    const answer = await looking.fetch('/', { headers: {} });
    // If the page is not built, the answer says so.
    if (answer.status === 503) return expect(await answer.text()).toContain('npm run build');
    const policy = answer.headers.get('content-security-policy') ?? '';
    const { port } = looking.inspector;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`connect-src 'self' ws://127.0.0.1:${port};`);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    const page = await answer.text();
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|https?:\/\//i);
  });
});

describe('reads cannot write', () => {
  const bodies: Partial<Record<keyof Addresses, object>> = {
    'POST /api/set': { namespace: 'n', key: 'k', value: 2, ifVersion: 1 },
    'POST /api/delete': { namespace: 'n', key: 'k', ifVersion: 1 },
    'POST /api/fork': { at: 1 },
  };
  const query = 'namespace=n&key=k&at=1&a=0&b=1&position=1&id=supervisor&value=2&ifVersion=1&q=k';

  test('no address changes anything without allowWrite', async () => {
    const { cache, looking } = await look();
    await cache.set('k', 1, 'n');
    for (const address of Object.keys(ROUTES) as (keyof Addresses)[]) {
      const [method = '', path = ''] = address.split(' ');
      const isPost = method === 'POST';
      const body = isPost ? { body: JSON.stringify(bodies[address] ?? {}) } : {};
      // Another parameter than the address takes would be refused before anything else is tried.
      const taken = [...new URLSearchParams(query)].filter(([name]) => !isPost && PARAMETERS[address].includes(name));
      const { status } = await looking.fetch(`${path}?${new URLSearchParams(taken)}`, { method, ...body });
      expect([address, status]).toEqual([address, WRITES.has(address) ? 403 : 200]);
    }
    expect([cache.position, cache.get('k', 'n')]).toEqual([1, 1]);
  });

  test('refuses a change by GET or by a form', async () => {
    const { cache, looking } = await look({ allowWrite: true });
    await cache.set('k', 1, 'n');
    expect((await looking.fetch(`/api/set?${query}`)).status).toBe(405);
    const { token } = looking.inspector;
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': type };
      const body = JSON.stringify(bodies['POST /api/set']);
      expect((await looking.fetch('/api/set', { method: 'POST', headers, body })).status).toBe(400);
    }
    expect(cache.position).toBe(1);
  });
});
