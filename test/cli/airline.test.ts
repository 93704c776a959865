import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AIRLINE_UPDATES, airlineLines, airlinePath, foldCommands } from '../support/airline.ts';
import { expectedDump, jsonLines, run, serve } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('the recorded runs', () => {
  test('apply and dump equal an independent fold of the file, and the log has every update once', async () => {
    const dataDir = join(await tempDir('cli'), 'data');
    const applied = await run(['apply', airlinePath, '--data-dir', dataDir, '--json']);
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(applied.stdout)).toEqual({
      lines: 9_000,
      updates: AIRLINE_UPDATES,
      unchanged: 9_000 - AIRLINE_UPDATES,
      failed: 0,
      position: AIRLINE_UPDATES,
      seconds: expect.any(Number),
      undelivered: [],
    });

    const expected = foldCommands(airlineLines());
    const dumped = await run(['dump', '--data-dir', dataDir]);
    expect(dumped.code).toBe(0);
    expect(dumped.stdout).toBe(expectedDump(expected.entries));

    const log = await run(['log', '--data-dir', dataDir]);
    const updates = jsonLines(log.stdout);
    expect(updates.map(({ position }) => position)).toEqual(Array.from({ length: AIRLINE_UPDATES }, (_, i) => i + 1));
    const fields = ['position', 'time', 'namespace', 'version', 'operation', 'key', 'value', 'at', 'agent'];
    expect(updates.filter((update) => Object.keys(update).join() !== fields.join())).toEqual([]);
    const refolded = foldCommands(updates.map((update) => JSON.stringify(commandOf(update))));
    expect(expectedDump(refolded.entries)).toBe(dumped.stdout);
  });

  test('two halves, the second through a serving process, give the same result', async () => {
    const dir = await tempDir('cli');
    const dataDir = join(dir, 'data');
    const lines = (await readFile(airlinePath, 'utf8')).split('\n').filter(Boolean);
    await writeFile(join(dir, 'first'), `${lines.slice(0, 4_321).join('\n')}\n`);
    await writeFile(join(dir, 'second'), lines.slice(4_321).join('\n'));
    expect(await run(['apply', join(dir, 'first'), '--data-dir', dataDir])).toMatchObject({ code: 0 });
    await using server = await serve(dataDir);
    expect(await run(['apply', join(dir, 'second'), '--data-dir', dataDir])).toMatchObject({ code: 0 });
    const expected = expectedDump(foldCommands(lines).entries);
    const live = await run(['dump', '--data-dir', dataDir]);
    expect(live.stdout).toBe(expected);
    await server.end();
    expect((await run(['dump', '--data-dir', dataDir])).stdout).toBe(expected);
  });

  test('--ack acknowledges every line in order, with positions that never decrease', async () => {
    const dataDir = join(await tempDir('cli'), 'data');
    const { code, stdout, stderr } = await run(['apply', airlinePath, '--ack', '--data-dir', dataDir]);
    expect(code).toBe(0);
    const acknowledged = jsonLines<{ line: number; position: number }>(stdout);
    expect(acknowledged.map(({ line }) => line)).toEqual(Array.from({ length: 9_000 }, (_, i) => i + 1));
    expect(stdout.split('\n', 1)).toEqual(['{"line":1,"position":1}']);
    expect(acknowledged.at(-1)?.position).toBe(AIRLINE_UPDATES);
    expect(stderr).toContain('8,941 updates, 59 unchanged, 0 failed');
  });
});

function commandOf({ operation, namespace, key, value }: Record<string, unknown>): Record<string, unknown> {
  if (operation === 'set') return { type: 'context.set', namespace, key, value };
  return operation === 'delete' ? { type: 'context.delete', namespace, key } : { type: 'context.clear', namespace };
}
