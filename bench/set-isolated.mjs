// Measures writing an object that neither its writer nor its readers can change afterwards. The limit is the walk at
// admission alone: the object is checked, copied, frozen and measured, but not stored.
import { check } from './lib/check.mjs';
import { ValueDoor } from './lib/ours.mjs';
import { COST, nanosecondsPerOperation, paceOf } from './lib/passes.mjs';
import { storesAsCandidates } from './lib/stores.mjs';
import { VALUES } from './lib/values.mjs';
import { measureWrites } from './lib/writes.mjs';

const WALK = { name: 'the walk at the door alone', role: 'limit' };

export default {
  order: 4,
  title: '`set` of an object, isolated',
  about: 'a write of an object made afresh, nobody awaits, in nanoseconds; `isolates` is tried out',
  metrics: COST,
  goals: [{ ahead: 5, traits: ['isolates'], text: '5× ahead of the fastest that isolates' }],
  cases: ({ quick }) => [
    { name: 'small object', headline: true, make: 'small', keys: quick ? 1_000 : 10_000, namespaces: 10 },
    { name: '1 KiB object', headline: true, make: 'kib', keys: quick ? 1_000 : 10_000, namespaces: 10 },
  ],
  candidates: [
    WALK,
    ...storesAsCandidates(
      'agent-context-cache',
      'keyv',
      'cacheable',
      'node-cache',
      'unstorage',
      'LangGraph InMemoryStore',
      'structuredClone + Map',
    ),
  ],
  async measure(context) {
    const make = VALUES[context.case.make];
    if (context.candidate === WALK.name) return walkAlone(make, context.scale);
    const { result, store } = await measureWrites(context, { make });
    const isolates = await isIsolated(store, make);
    const expected = this.candidates.find(({ name }) => name === context.candidate).traits.isolates;
    check(isolates === expected, `${context.candidate} was to ${expected ? '' : 'not '}isolate`);
    await store.close?.();
    return result;
  },
};

async function walkAlone(make, scale) {
  const door = new ValueDoor();
  let weight = 0;
  const run = (from, many) => {
    for (let j = from; j < from + many; j += 1) {
      door.admit(make(j));
      weight += door.bytes;
    }
  };
  const { ns, wall } = await nanosecondsPerOperation(run, paceOf(scale), 1_000);
  check(weight > 0, 'nothing was weighed');
  return { ns, wall };
}

/** Returns whether the stored value survives a change of the writer's object, and of a reader's. */
async function isIsolated(store, make) {
  const mine = make(7);
  const before = JSON.stringify(mine);
  await store.set('agent/0', 'isolated', mine);
  spoil(mine);
  const unmoved = JSON.stringify(await store.get('agent/0', 'isolated')) === before;
  spoil(await store.get('agent/0', 'isolated'));
  return unmoved && JSON.stringify(await store.get('agent/0', 'isolated')) === before;
}

function spoil(object) {
  try {
    for (const value of Object.values(object)) if (Array.isArray(value)) value.push('spoilt');
    object.spoilt = true;
  } catch {
    // It is frozen, which protects it as well.
  }
}
