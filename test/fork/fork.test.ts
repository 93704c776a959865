import { expect, it } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';

it('smoke', async () => {
  for (const dataDir of [undefined, await tempDir('x')]) {
    const cache = await AgentContextCache.open({ dataDir, sync: false });
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'm');
    const branch = await cache.fork();
    const durable = await cache.fork({ dataDir: await tempDir('y') });
    for (const each of [branch, durable]) {
      await each.set('a', 2, 'n');
      await cache.set('b', 7, 'm');
      expect(each.get('b', 'm')).toBe(1);
      expect(each.listNamespaces()).toEqual(['default', 'm', 'n']);
      expect(each.position).toBe(3);
      console.log(JSON.stringify(await cache.diff(cache, each)));
    }
    await branch.shutdown();
    await durable.shutdown();
    await cache.shutdown();
  }
});
