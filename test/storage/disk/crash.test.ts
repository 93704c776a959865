import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, describe, expect, it } from 'vitest';
import { apply } from '../../../src/core/apply.ts';
import { NamespaceState } from '../../../src/core/namespace-state.ts';
import { buildDist, projectRoot } from '../../support/dist.ts';
import { openIndex } from '../../support/index.ts';
import { all } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const dist = join(projectRoot, 'dist');

/** Number of commits that a child may be ahead of the process that kills it. */
const AHEAD = 100;

/** Runs the child until it has acknowledged a number of positions, kills it, and returns the last acknowledged one. */
async function killAfter(dataDir: string, seed: number, acknowledgements: number): Promise<number> {
  const script = join(import.meta.dirname, 'crash-child.mjs');
  const child = spawn(process.execPath, [script, dist, dataDir, String(seed), String(acknowledgements + AHEAD)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  let acknowledged = 0;
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    acknowledged = Number(line);
    lines += 1;
    if (lines === acknowledgements) child.kill('SIGKILL');
  }
  const [, signal] = await ended;
  expect(signal).toBe('SIGKILL');
  return acknowledged;
}

describe('a process killed while it writes', () => {
  beforeAll(buildDist);

  it('leaves whole groups without a gap, including everything acknowledged, and a state that fits', async () => {
    const dataDir = await tempDir('crash');
    let reached = 0;
    for (const [round, acknowledgements] of [1, 60, 7, 250, 25].entries()) {
      const acknowledged = await killAfter(dataDir, round + 1, acknowledgements);
      expect(acknowledged).toBeGreaterThan(reached);
      const { log, events, table, close } = await openIndex(dataDir);
      expect(log.head).toBeGreaterThanOrEqual(acknowledged);
      const updates = await all(log.read(1));
      expect(updates.length).toBe(log.head);
      const state = new NamespaceState('n');
      // Continues where the killed process was: an index that is rebuilt would prove nothing.
      if (round > 0) expect(events).toEqual([]);
      for (const [number, update] of updates.entries()) {
        expect(update.position).toBe(number + 1);
        expect((update.value as string).startsWith(`${update.position}:`)).toBe(true);
        if (update.position <= table.checkpoint) apply(state, update);
      }
      const [last, size] = (updates.at(-1)?.agent ?? '').split('/').map(Number);
      expect(last).toBe((size ?? 0) - 1);
      if (table.checkpoint > 0) expect(new Map(table.hydrate('n')?.entries)).toEqual(new Map(state.entries));
      const { reader } = table.past;
      const chunks = reader.chunks();
      const past = updates.slice(0, table.checkpoint).map((_, ordinal) => reader.updateAt('n', ordinal, chunks));
      expect(past).toEqual(updates.slice(0, table.checkpoint));
      expect(table.past.summary('n')?.count ?? 0).toBe(table.checkpoint);
      reached = log.head;
      await close();
    }
  }, 240_000);
});
