import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AgentContextCache, type ContextCommand, FileContextCache, type Update } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';
import { checkDirectory, checkNoneLost, still, Walk } from './crash-check.ts';
import { Said } from './crash-process.ts';
import { randomCommands } from './crash-workload.ts';
import { Random } from './support.ts';

// Controls: each check of the kill, power cut and disk error tests is shown to fail on what it looks for.

const commands = randomCommands(5, 300);

/** Makes the updates that a cache makes of the commands. Nothing expires, because the time of that is not fixed. */
async function logOf(dataDir: string): Promise<{ log: Update[]; said: Said }> {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null, clock: still, onError: () => undefined });
  const said = new Said();
  for (const [index, command] of commands.entries()) {
    const answer = (await cache.ask(command).catch(() => ({}))) as { position?: number; changed?: boolean };
    if (answer.changed !== undefined) said.take(`a ${index} ${answer.position} ${Number(answer.changed)}`);
  }
  const log: Update[] = [];
  for await (const update of cache.readLog()) log.push(update);
  await cache.shutdown();
  return { log, said };
}

function walk(log: readonly Update[], of: readonly ContextCommand[] = commands, refused?: ReadonlySet<number>): Walk {
  const walked = new Walk(of, refused);
  for (const update of log) walked.take(update);
  walked.finish();
  return walked;
}

it('passes what a cache makes of the commands, and finds what is missing, repeated, exchanged or changed', async () => {
  const { log, said } = await logOf(join(await tempDir('check'), 'data'));
  expect(() => checkNoneLost(walk(log), said)).not.toThrow();
  expect([...walk(log).missing()]).toEqual([]);
  expect(log.length).toBeGreaterThan(300);
  const numbered = (updates: readonly Update[]) => updates.map((update, index) => ({ ...update, position: index + 1 }));
  const ends = [...walk(log).positions.values()];
  for (const at of [0, 7, 100, log.length - 2]) {
    const [one, two] = [log[at] as Update, log[at + 1] as Update];
    const dropped = log.toSpliced(at, 1);
    expect(() => walk(dropped), `gap at ${at}`).toThrow(/comes after position/);
    expect(() => walk(numbered(dropped)), `dropped ${at}`).toThrow(/Update/);
    expect(() => walk(numbered(log.toSpliced(at, 0, one))), `twice ${at}`).toThrow(/Update/);
    expect(() => walk(numbered(log.toSpliced(at, 2, two, one))), `exchanged ${at}`).toThrow(/Update/);
    expect(() => walk(log.with(at, { ...one, agent: 'other' })), `agent ${at}`).toThrow(/in place of/);
  }
  const set = log.findIndex(({ operation }) => operation === 'set');
  expect(() => walk(log.with(set, { ...(log[set] as Update), value: { of: -1 } }))).toThrow(/in place of/);
  expect(() => walk(log, commands, new Set([walk(log.slice(0, ends[50])).next - 1]))).toThrow(/Update/);
  const inside = [...walk(log).positions].find(([index]) => commands[index]?.type === 'context.batch')?.[1] as number;
  const before = log[inside - 2];
  if (before?.operation !== 'expire') expect(() => walk(log.slice(0, inside - 1))).toThrow(/in the middle of command/);
  expect(() => checkNoneLost(walk(log.slice(0, ends[100])), said)).toThrow(/acknowledged are lost/);
});

it('finds a state, a view or a mirror that does not fit the log', async () => {
  const home = await tempDir('check');
  const [data, views] = [join(home, 'data'), { random: new Random(1), count: 20 }];
  const { log } = await logOf(data);
  const cache = await AgentContextCache.open({ dataDir: data, natsUrl: null, clock: still });
  expect(walk(log).model.difference(cache)).toBeUndefined();
  expect(walk(log.slice(0, [...walk(log).positions.values()].at(-20))).model.difference(cache)).toBeDefined();
  expect(walk(log).model.difference(cache.at(log.length - 1))).toBeDefined();
  await cache.shutdown();
  const mirror = join(home, 'mirror.json');
  expect((await checkDirectory(data, { commands, views, mirror })).missing().next().done).toBe(true);
  // The mirror of this log is complete. Reset to nothing but its position, it lacks everything.
  const other = join(home, 'other.json');
  await cp(mirror, other);
  const backend = new FileContextCache({ path: other });
  await backend.set('stray', 1, 'a:b');
  await backend.close();
  await expect(checkDirectory(data, { commands, views, mirror: other })).rejects.toThrow(/The mirror differs.*a:b/);
});
