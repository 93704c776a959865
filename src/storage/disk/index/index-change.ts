import type { PastSummary } from './records/past-records.ts';
import type { Progress } from './records/progress.ts';
import type { StoredNamespace } from './records/state-records.ts';

/** A batch that was written to the index, as far as the main thread keeps it in memory. */
export interface IndexChange {
  /** The progress after the batch. */
  readonly progress: Progress;
  /** Namespaces that changed; the name of one that was dropped. */
  readonly states: readonly (StoredNamespace | string)[];
  /** Pasts that changed; the name of a namespace whose past was removed. */
  readonly pasts: readonly (PastSummary | string)[];
  /** `true` if everything in memory must be read again. */
  readonly isNew: boolean;
}

/** Follows the batches of an index in memory. The next batch is written only when this one has resolved. */
export type TakeChange = (change: IndexChange) => Promise<void>;
