import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { refuse } from '../../wire/http-response.ts';

/** Returns the path of a file of the built page. Run from the sources, the inspector serves the last build. */
function pathOf(file: string): string {
  const root = dirname(createRequire(import.meta.url).resolve('agent-context-cache/package.json'));
  return join(root, 'dist/src/inspector/page', file);
}

const ASSETS: ReadonlyMap<string, { readonly file: string; readonly type: string }> = new Map([
  ['/', { file: 'index.html', type: 'text/html; charset=utf-8' }],
  ['/app.js', { file: 'app.js', type: 'text/javascript; charset=utf-8' }],
  ['/app.css', { file: 'app.css', type: 'text/css; charset=utf-8' }],
]);

/** Returns whether the path is a file of the page. Those need no token: the page holds no data. */
export function isAsset(path: string): boolean {
  return ASSETS.has(path);
}

/** Content security policy: nothing from elsewhere, nothing inline, no frame, connections only to this server. */
function policy(host: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    // Some browsers do not apply 'self' to a WebSocket of the same host.
    `connect-src 'self' ws://${host}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/** Answers with a file of the page. The caller has checked the Host header. */
export async function sendAsset(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const asset = ASSETS.get(path);
  if (asset === undefined) return;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET');
    return refuse(response, 405, 'INVALID_COMMAND', `${path} takes GET.`);
  }
  let bytes: Buffer;
  try {
    bytes = await readFile(pathOf(asset.file));
  } catch {
    return refuse(response, 503, 'NOT_FOUND', 'The page is not built. Run: npm run build');
  }
  response.writeHead(200, {
    'content-type': asset.type,
    'content-length': bytes.length,
    'cache-control': 'no-cache',
    'content-security-policy': policy(request.headers.host ?? ''),
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}
