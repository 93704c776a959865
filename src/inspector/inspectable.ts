import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Acknowledgement, DataCommand } from '../core/command.ts';
import type { Contradictions, ContradictionsOptions } from '../core/contradiction.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { Impact, ImpactOptions, Provenance, ProvenanceOptions } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { Inspection } from '../engine/inspection.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { Difference } from '../past/difference.ts';
import type { EntryVersion } from '../past/history.ts';
import type { VerifyOptions, VerifyReport } from '../verify/verify-report.ts';

/**
 * Everything an inspector uses of a cache. `AgentContextCache` implements it; each member behaves as the method of the
 * same name there. Values are `unknown` here because a typed cache narrows them; they are JSON in every cache.
 */
export interface Inspectable {
  /** Position of the last update. */
  readonly position: number;
  /** Read access to the parts: namespaces, actors, followers, files. */
  readonly inspection: Pick<Inspection, keyof Inspection>;
  readonly supervisor: { getSnapshot(): { readonly value: unknown } };
  /** Executes an edit, or takes a snapshot. */
  ask(command: DataCommand): Promise<Acknowledgement>;
  ask(command: { readonly type: 'context.backup' }): Promise<SnapshotInfo>;
  at(position: number | Date): InspectableView;
  contradictions(options: ContradictionsOptions): Promise<Contradictions>;
  diff(a: number, b: number, options?: { readonly namespace?: string | undefined }): Promise<Difference>;
  fork(options: { readonly at: number }): Promise<Inspectable>;
  health(): CacheHealth;
  history(key: string, namespace: string | undefined): AsyncIterable<EntryVersion<unknown>>;
  listKeys(namespace: string | undefined): MaybePromise<readonly string[]>;
  impact(position: number, options: ImpactOptions): Promise<Impact>;
  provenance(key: string, namespace: string | undefined, options: ProvenanceOptions): Promise<Provenance | undefined>;
  readLog(range: { readonly from: number; readonly to: number }): AsyncIterable<Update>;
  shutdown(): Promise<unknown>;
  verify(options: VerifyOptions): Promise<VerifyReport>;
}

/** The parts of a `CacheView` that an inspector reads. */
export interface InspectableView extends Disposable {
  readonly position: number;
  entry(key: string, namespace: string | undefined): Entry<unknown> | undefined;
  listKeys(namespace: string | undefined): readonly string[];
  listNamespaces(): readonly string[];
}
