import { randomFrom, shuffle } from './random.mjs';

/**
 * Keys of several namespaces, created beforehand: the i-th is `keyOf[i]` in `namespaceOf[i]`, and `order` is the random
 * order in which they are used.
 */
export function makeSpace({ keys, namespaces = 1 }, seed = 1) {
  const names = Array.from({ length: namespaces }, (_, i) => flat(`agent/${i}`));
  const own = Array.from({ length: Math.ceil(keys / namespaces) }, (_, i) => flat(`key-${i}`));
  const namespaceOf = new Array(keys);
  const keyOf = new Array(keys);
  for (let i = 0; i < keys; i += 1) {
    namespaceOf[i] = names[i % namespaces];
    keyOf[i] = own[Math.floor(i / namespaces)];
  }
  const order = shuffle(
    Uint32Array.from({ length: keys }, (_, i) => i),
    randomFrom(seed),
  );
  return { count: keys, names, namespaceOf, keyOf, order };
}

/** Flattens a concatenated string, which V8 keeps in pieces until it is first read. */
function flat(text) {
  return Buffer.from(text).toString('latin1');
}
