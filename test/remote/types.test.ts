import { describe, expectTypeOf, test } from 'vitest';
import type { connect, RemoteContextCache, RemoteView } from '../../src/client.ts';
import type { ContextStore, Entry } from '../../src/index.ts';
import type { UpdateResult } from '../../src/types.ts';

interface Plan {
  steps: string[];
}
type Remote = RemoteContextCache<{ trip: { plan: Plan; budget: number } }>;
type ReadPlan = { readonly steps: readonly string[] };

describe('a typed client', () => {
  test('types reads and writes as the cache does, and every answer is a promise', () => {
    const types = (remote: Remote) => ({
      value: remote.get('plan', 'trip'),
      many: remote.getMany(['budget'], 'trip'),
      entry: remote.entry('budget', 'trip'),
      handled: remote.namespace('trip').get('plan'),
      listed: remote.namespace('trip').listKeys(),
      view: remote.at(1),
      updated: remote.update('budget', (budget) => (budget ?? 0) + 1, 'trip'),
    });
    type Types = ReturnType<typeof types>;
    expectTypeOf<Types['value']>().toEqualTypeOf<Promise<ReadPlan | undefined>>();
    expectTypeOf<Types['many']>().toEqualTypeOf<Promise<(number | undefined)[]>>();
    expectTypeOf<Types['entry']>().toEqualTypeOf<Promise<Entry<number> | undefined>>();
    expectTypeOf<Types['handled']>().toEqualTypeOf<Promise<ReadPlan | undefined>>();
    expectTypeOf<Types['listed']>().toEqualTypeOf<Promise<('plan' | 'budget')[]>>();
    expectTypeOf<Awaited<Types['view']>>().toExtend<RemoteView<{ trip: { plan: Plan; budget: number } }>>();
    expectTypeOf<Types['updated']>().toEqualTypeOf<Promise<UpdateResult<number>>>();
  });

  test('is a ContextStore, typed or not', () => {
    expectTypeOf<RemoteContextCache>().toExtend<ContextStore>();
    expectTypeOf<Awaited<ReturnType<typeof connect>>>().toExtend<ContextStore>();
  });
});
