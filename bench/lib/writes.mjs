import { checkSame, sample } from './check.mjs';
import { fill } from './fill.mjs';
import { nanosecondsPerOperation, paceOf } from './passes.mjs';
import { makeSpace } from './space.mjs';
import { makeStore } from './stores.mjs';

/** So many writes, then a turn for the event loop, in the time that is measured. */
const BURST = 1_000;

/**
 * Nanoseconds a write over keys that are there takes, and whether the store was left with the last value of each key.
 * `awaited`: each is waited for before the next.
 */
export async function measureWrites({ candidate, case: oneCase, scale, seed }, { make, awaited = false }) {
  const { keys, namespaces } = oneCase;
  const space = makeSpace({ keys, namespaces }, seed);
  const store = await makeStore(candidate, { keys, namespaces, space });
  await fill(store, space, make);
  const last = Float64Array.from({ length: keys }, (_, i) => i);
  const run = awaited ? writeAwaited(store, space, make, last) : writeUnawaited(store, space, make, last);
  const { ns, wall } = await nanosecondsPerOperation(run, paceOf(scale), BURST);
  for (const i of sample(keys)) {
    checkSame(await store.get(space.namespaceOf[i], space.keyOf[i]), make(last[i]), `key ${i}`);
  }
  return { result: { ns, wall }, store, space };
}

/** Nobody waits for any of them; where they end later, the end of the burst waits for its last. */
function writeUnawaited(store, { count, namespaceOf, keyOf, order }, make, last) {
  return (from, many) => {
    let end;
    for (let j = from; j < from + many; j += 1) {
      const i = order[j % count];
      end = store.set(namespaceOf[i], keyOf[i], make(j));
      last[i] = j;
    }
    return end instanceof Promise ? end : undefined;
  };
}

function writeAwaited(store, { count, namespaceOf, keyOf, order }, make, last) {
  return async (from, many) => {
    for (let j = from; j < from + many; j += 1) {
      const i = order[j % count];
      await store.set(namespaceOf[i], keyOf[i], make(j));
      last[i] = j;
    }
  };
}
