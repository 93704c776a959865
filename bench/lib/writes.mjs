import { checkSame, sample } from './check.mjs';
import { fill } from './fill.mjs';
import { nanosecondsPerOperation, paceOf } from './passes.mjs';
import { makeSpace } from './space.mjs';
import { makeStore } from './stores.mjs';

/** Writes per burst; the event loop gets a turn after each burst, within the measured time. */
const BURST = 1_000;

/**
 * Measures nanoseconds per write to existing keys, and checks that the store holds the last value of each key. `awaited`: each
 * write is awaited before the next.
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

/** Writes without awaiting each; for asynchronous stores, the end of a burst awaits its last write. */
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
