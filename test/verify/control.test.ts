import { describe, expect, it } from 'vitest';
import { apply } from '../../src/core/apply.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';
import { open, told } from '../support/verify.ts';

/** A fold that loses one update, which a verification must find. */
function dropping(at: number): typeof apply {
  let applied = 0;
  return (state, update) => {
    applied += 1;
    if (applied !== at) apply(state, update);
    else {
      // Counts as applied: only its content is lost.
      state.version = update.version;
      state.position = update.position;
    }
  };
}

async function written(options: { dataDir?: string; drops?: number }): Promise<AgentContextCache> {
  const { dataDir, drops } = options;
  const cache = await open({
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(drops === undefined ? {} : { internals: { apply: dropping(drops) } }),
  });
  for (let i = 0; i < 100; i += 1) await cache.set(`k${i % 30}`, i, `n${i % 3}`);
  return cache;
}

describe('the control: a comparison with a dropped update', () => {
  it.each([false, true])('fails (with a directory: %s)', async (durable) => {
    const directory = async () => (durable ? { dataDir: await tempDir('control') } : {});
    const whole = await (await written(await directory())).verify();
    expect(told(whole.problems)).toEqual([]);
    // The 95th update is the last of its key.
    const { ok, problems } = await (await written({ ...(await directory()), drops: 95 })).verify();
    expect(ok).toBe(false);
    expect(problems).toMatchObject([{ kind: 'memory', where: { namespace: 'n1' } }]);
  });
});
