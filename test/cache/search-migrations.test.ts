import { expect, onTestFinished, test, vi } from 'vitest';
import { Migrations } from '../../src/core/migrations.ts';
import { AgentContextCache } from '../../src/index.ts';

test('migrations cost a search nothing for each value of the namespaces that they are not for', async () => {
  const migrations = [{ version: 2, namespaces: 'trip/**', when: () => false, migrate: () => null }];
  const cache = new AgentContextCache({ migrations });
  const many = Array.from({ length: 5_000 }, (_, index) => [`k${index}`, { n: index }]);
  await cache.setMany(Object.fromEntries(many), 'large');
  await cache.setMany(Object.fromEntries(many.slice(0, 900)), 'small');
  const asked = vi.spyOn(Migrations.prototype, 'concerns');
  onTestFinished(() => asked.mockRestore());
  expect((await cache.search({ where: { '/n': 7 } })).entries).toHaveLength(2);
  expect((await cache.search({ where: { '/n': { gte: 0 } }, limit: 1_000 })).entries).toHaveLength(1_000);
  expect(asked.mock.calls.length).toBeGreaterThan(0);
  expect(asked.mock.calls.length).toBeLessThan(10);
  await cache.shutdown();
});
