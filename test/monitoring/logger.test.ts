import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import type { LogFields, Logger } from '../../src/monitoring.ts';
import { startServer } from '../../src/server.ts';
import { closing } from '../support/cache.ts';

interface Line extends LogFields {
  readonly level: string;
  readonly text: string;
}

function recording(): { readonly lines: Line[]; readonly logger: Logger } {
  const lines: Line[] = [];
  const take = (level: string) => (fields: LogFields, text: string) => void lines.push({ ...fields, level, text });
  return { lines, logger: { debug: take('debug'), info: take('info'), warn: take('warn'), error: take('error') } };
}

/** Fails every write, naming what it was given. */
class Refusing extends InMemoryContextCache {
  override set(key: string, value: unknown): never {
    throw new TypeError(`cannot take ${key}: ${String(value)}`);
  }
}

async function failures(cache: AgentContextCache): Promise<void> {
  void cache.set('secret-key', 'secret-value', 'trip', { ifVersion: 7 });
  void cache.set('secret-key', { 'secret-field': Number.NaN });
  cache.subscribe(() => {
    throw new Error('secret-value');
  });
  await cache.set('secret-key', 'secret-value');
  await nextTurn();
  await nextTurn();
}

describe('a logger', () => {
  test('gets failures that no caller handles, opening and shutdown', async () => {
    const { lines, logger } = recording();
    const cache = new AgentContextCache({ logger });
    await failures(cache);
    await cache.shutdown();
    expect(lines.map(({ level, source, code }) => [level, source, code])).toEqual([
      ['info', 'cache', undefined],
      ['error', 'watch', 'Error'],
      ['warn', 'command', 'VERSION_CONFLICT'],
      ['error', 'command', 'INVALID_VALUE'],
      ['info', 'cache', undefined],
    ]);
    expect(lines[2]).toMatchObject({ command: 'context.set', namespace: 'trip' });
    expect(lines[2]?.text).toMatch(/expected version 7/);
  });

  test('gets no key and no value unless details are asked for', async () => {
    const quiet = recording();
    await failures(closing(new AgentContextCache({ logger: quiet.logger })));
    expect(JSON.stringify(quiet.lines)).not.toMatch(/secret/);
    const full = recording();
    await failures(closing(new AgentContextCache({ logger: full.logger, monitoring: { details: true } })));
    expect(full.lines.find(({ code }) => code === 'INVALID_VALUE')?.text).toContain('secret-field');
    expect(full.lines.find(({ source }) => source === 'watch')?.err).toMatchObject({ message: 'secret-value' });
  });

  test('is told about connections of followers and their failures', async () => {
    const { lines, logger } = recording();
    const cache = closing(
      new AgentContextCache({ logger, secondaryCache: new Refusing(), backOff: { initialMs: 10_000 } }),
    );
    await cache.set('secret-key', 'secret-value');
    await expect.poll(() => lines.some(({ level }) => level === 'error')).toBe(true);
    const mirror = lines.filter(({ source }) => source === 'mirror').map(({ level }) => level);
    expect(mirror).toEqual(['debug', 'info', 'error']);
    expect(JSON.stringify(lines)).not.toMatch(/secret/);
  });

  test('and onError both get a failure, and no warning is made', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const { lines, logger } = recording();
    const errors: Error[] = [];
    const cache = closing(new AgentContextCache({ logger, onError: (error) => errors.push(error) }));
    void cache.set('a', Number.NaN);
    await nextTurn();
    await nextTurn();
    expect(errors).toHaveLength(1);
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(warnings).not.toHaveBeenCalled();
    warnings.mockRestore();
  });

  test('that throws breaks nothing, and that is a warning', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const { logger } = recording();
    const thrower = () => {
      throw new Error('full');
    };
    const cache = closing(new AgentContextCache({ logger: { ...logger, info: thrower } }));
    await cache.set('a', 1);
    expect(warnings).toHaveBeenCalledWith('logger itself threw: Error: full', 'ContextCacheWarning', undefined);
    warnings.mockRestore();
  });

  test('is inherited by a branch', async () => {
    const { lines, logger } = recording();
    const cache = closing(new AgentContextCache({ logger }));
    closing(await cache.fork());
    expect(lines.filter(({ text }) => text.startsWith('Opened'))).toHaveLength(2);
  });

  test('of a client gets its connections and failures', async () => {
    const { lines, logger } = recording();
    const cache = closing(new AgentContextCache());
    const server = await startServer(cache);
    await using remote = await connect(server.url, { token: server.token, logger, timeoutMs: 50 });
    void remote.set('secret-key', 'secret-value', 'trip', { ifVersion: 3 });
    await remote.flush();
    await nextTurn();
    await server.close();
    await expect.poll(() => lines.some(({ level }) => level === 'error')).toBe(true);
    const levels = lines.map(({ level, source }) => `${level} ${source}`);
    expect(levels.slice(0, 4)).toEqual(['debug connection', 'info connection', 'warn command', 'error connection']);
    expect(JSON.stringify(lines)).not.toMatch(/secret/);
    expect(JSON.stringify(lines)).not.toContain(server.token);
  });
});

test('console fits as a logger', () => {
  const logger: Logger = console;
  const debug = vi.spyOn(console, 'info').mockImplementation(() => {});
  closing(new AgentContextCache({ logger }));
  expect(debug).toHaveBeenCalledWith({ source: 'cache' }, 'Opened in memory at position 0.');
  debug.mockRestore();
});

test.each([
  [{ logger: {} }, /logger must have the methods debug, info, warn, error/],
  [{ logger: 'pino' }, /logger must have the methods/],
  [{ monitoring: { details: 'yes' } }, /monitoring.details must be true or false/],
  [{ monitoring: { detail: true } }, /monitoring has no option detail. Did you mean details\?/],
  [{ onError: 1 }, /onError must be a function/],
])('refuses %j', async (options, message) => {
  expect(() => new AgentContextCache(options as never)).toThrow(message);
  await expect(AgentContextCache.open(options as never)).rejects.toThrow(message);
  await expect(connect('http://127.0.0.1:9', { token: 'x', ...options } as never)).rejects.toThrow(message);
});
