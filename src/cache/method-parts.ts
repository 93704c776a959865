import type { TransactionOperation, TransactionResult } from '../core/command.ts';
import type { NamespaceName } from '../core/namespace-parts.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Reader } from '../engine/reader.ts';
import type { HandleParts } from './namespace-handle.ts';
import type { WaitOptions } from './types.ts';

/** The parts of a cache that its methods use. */
export interface MethodParts extends HandleParts {
  readonly reader: HandleParts['reader'] & Pick<Reader, 'namespaces'>;
  /** Returns the name of a namespace that is read. Throws, or leaves the refusal to the reader. */
  readonly nameOf: (namespace: NamespaceName) => string;
  /** The agent that uses the cache; `undefined`: its owner, who may do everything. */
  readonly agent?: string | undefined;
  /** The agent that writes unless a write names another one: that of the last handle that named one. */
  readonly named?: string | undefined;
  /** Returns the parts restricted to what an agent may do. */
  readonly restrict?: ((parts: MethodParts, agent: string) => Partial<MethodParts>) | undefined;
  /** Returns what the running code adds to each write; `undefined` without a context. */
  readonly stamp?: (() => Stamp | undefined) | undefined;
  /** Adds the stamps of handles, and their memory of reads, to the parts of a cache. The handle that was created first comes first. */
  readonly wraps?: readonly ((parts: MethodParts) => MethodParts)[] | undefined;
  readonly position: () => number;
  readonly flush: () => Promise<void>;
  readonly barrier: () => Promise<void>;
  readonly reached: (position: number, options: Pick<WaitOptions, 'signal'>) => Promise<void>;
  readonly transaction: (
    operations: readonly TransactionOperation[],
    options: OriginOptions,
  ) => Promise<TransactionResult>;
}
