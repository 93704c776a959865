import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import * as machines from '../../machines/index.ts';
import { buildDist, projectRoot } from '../support/dist.ts';

const script = join(projectRoot, 'scripts/machine-docs.mjs');
const readme = join(projectRoot, 'machines/README.md');

describe('machines/README.md', () => {
  beforeAll(buildDist);

  it('matches the statecharts', async () => {
    await expect(promisify(execFile)(process.execPath, [script, '--check'])).resolves.toMatchObject({ stderr: '' });
  });

  it('shows every machine, every state and its invocations', async () => {
    const text = await readFile(readme, 'utf8');
    for (const { id, root } of Object.values(machines)) {
      const section = text.split('\n## ').find((part) => part.startsWith(`${id}\n`)) ?? '';
      expect(section).toContain('```mermaid\nstateDiagram-v2\n');
      for (const state of Object.values(root.states)) {
        expect(section).toContain(`state "${state.key}" as ${state.key}`);
        expect(section).toMatch(new RegExp(`--> ${state.key}\\b|^${state.key} --> `, 'm'));
        for (const { src } of state.invoke) expect(section).toContain(`\`${String(src)}\``);
        if (state.description !== undefined) expect(section).toContain(state.description);
        if (state.type === 'final') expect(section).toContain(`${state.key} --> [*]`);
      }
    }
  });

  it('fails the check if it is out of date', async () => {
    const { page } = (await import(script)) as { page(all: object): string };
    const text = await readFile(readme, 'utf8');
    expect(page(machines)).toBe(text);
    const { followerMachine, ...others } = machines;
    expect(() => page(others)).toThrow('follower');
    expect(followerMachine.id).toBe('follower');
    const changed = { ...machines, follower: Object.assign(Object.create(followerMachine), { id: 'new' }) };
    expect(() => page(changed)).toThrow('"new"');
  });
});
