import { request as ask } from 'node:http';
import { request as askSecurely } from 'node:https';
import type { Clock } from '../core/clock.ts';

/**
 * The answer to a {@link probe}: `busy` if the process is opening or closing the cache, `refused` if nothing listens there,
 * `silent` if the process does not answer.
 */
export type Probed = 'answers' | 'busy' | 'refused' | 'silent';

/** Asks a server for any answer, within so many milliseconds. */
export function probe(url: string, waitMs: number, clock: Clock): Promise<Probed> {
  return new Promise((resolve) => {
    const target = url.replace(/^ws/, 'http');
    const options = { agent: false, rejectUnauthorized: false } as const;
    const request = target.startsWith('https') ? askSecurely(target, options) : ask(target, options);
    const timer = clock.setTimeout(() => {
      // If this process was busy itself, the answer is there and has not been read yet.
      setImmediate(() => setImmediate(() => end('silent')));
    }, waitMs);
    const end = (probed: Probed) => {
      clock.clearTimeout(timer);
      request.destroy();
      resolve(probed);
    };
    request.on('response', ({ statusCode }) => end(statusCode === 503 ? 'busy' : 'answers'));
    request.on('error', () => end('refused'));
    request.end();
  });
}
