import type { TransactionOperation, TransactionResult } from '../core/command.ts';
import type { NamespaceName } from '../core/namespace-parts.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Reader } from '../engine/reader.ts';
import type { HandleParts } from './namespace-handle.ts';
import type { ReadOptions } from './types.ts';

/** The parts of a cache that its methods use. */
export interface MethodParts extends HandleParts {
  readonly reader: HandleParts['reader'] & Pick<Reader, 'namespaces'>;
  /** Returns the name of a namespace that is read. Throws, or leaves the refusal to the reader. */
  readonly nameOf: (namespace: NamespaceName) => string;
  /** Returns what the running code adds to each write; `undefined` without a context. */
  readonly stamp?: (() => Stamp | undefined) | undefined;
  readonly position: () => number;
  /** Checks the options of a read, and that this node is not too far behind. Default: they are refused. */
  readonly checkRead?: ((options: ReadOptions) => void) | undefined;
  readonly flush: () => Promise<void>;
  readonly transaction: (
    operations: readonly TransactionOperation[],
    options: OriginOptions,
  ) => Promise<TransactionResult>;
}
