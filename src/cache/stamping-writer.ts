import { type Stamp, stamped } from '../core/stamp.ts';
import type { MethodParts } from './method-parts.ts';
import type { HandleParts } from './namespace-handle.ts';

type Writer = HandleParts['writer'];

/** Returns the parts of a cache of which each write gets the stamp of that moment, a transaction too. */
export function stampedParts(parts: MethodParts, stamp: () => Stamp | undefined): MethodParts {
  return {
    ...parts,
    writer: stampingWriter(parts.writer, stamp),
    transaction: (operations, options) => parts.transaction(operations, stamped(options, stamp())),
  };
}

/** Returns a writer that adds to each write the stamp of that moment. */
function stampingWriter(writer: Writer, stamp: () => Stamp | undefined): Writer {
  return {
    set: (key, value, namespace, options) => writer.set(key, value, namespace, stamped(options, stamp())),
    setMany: (values, namespace, options) => writer.setMany(values, namespace, stamped(options, stamp())),
    delete: (key, namespace, options) => writer.delete(key, namespace, stamped(options, stamp())),
    touch: (key, namespace, options) => writer.touch(key, namespace, stamped(options, stamp())),
    increment: (key, by, namespace, options) => writer.increment(key, by, namespace, stamped(options, stamp())),
    append: (value, namespace, options) => writer.append(value, namespace, stamped(options, stamp())),
    batch: (operations, namespace, options) => writer.batch(operations, namespace, stamped(options, stamp())),
    update: (key, change, namespace, options) => writer.update(key, change, namespace, stamped(options, stamp())),
    getOrSet: (key, make, namespace, options) => writer.getOrSet(key, make, namespace, stamped(options, stamp())),
    clear: (namespace, options) => writer.clear(namespace, stamped(options, stamp())),
    drop: (namespace, options) => writer.drop(namespace, stamped(options, stamp())),
  };
}
