import { setImmediate as nextTurn } from 'node:timers/promises';

const BURST = 1_000;

/** Stores `make(i)` under each key of the space. */
export async function fill(store, space, make) {
  const put = store.fill ?? store.set;
  for (let i = 0; i < space.count; ) {
    let last;
    for (const end = Math.min(space.count, i + BURST); i < end; i += 1) {
      last = put(space.namespaceOf[i], space.keyOf[i], make(i));
    }
    await last;
    await nextTurn();
  }
}
