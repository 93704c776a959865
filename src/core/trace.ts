import type { Reading } from './basis.ts';
import { ContextCacheError } from './errors.ts';
import type { Meta } from './meta.ts';
import { optionNames } from './options.ts';
import type { RetractionFields } from './retraction.ts';
import type { Operation, Update } from './update.ts';

/** A write in the answer to `provenance` or `impact`: an update without its value, which `at` and `history` read. */
export interface TracedWrite extends RetractionFields {
  readonly position: number;
  readonly namespace: string;
  /** `null` for an update of several keys. */
  readonly key: string | null;
  readonly version: number;
  readonly operation: Operation;
  /** Instant of the command, epoch milliseconds. */
  readonly at: number;
  readonly agent: string | null;
  readonly meta?: Meta | undefined;
  /** Number of links between this write and the one that was asked for, on the way on which it was found. */
  readonly depth: number;
}

/** A link: the later write was based on the earlier one. */
export interface TracedLink {
  /** Position of the earlier write. */
  readonly cause: number;
  /** Position of the later write. */
  readonly effect: number;
  /** `false`: the later write names a range or a position, and the earlier one is only among what it may have read. */
  readonly certain: boolean;
}

/** A reading that is not followed: a range, a position, or a write that the log no longer has. */
export interface OpenReading {
  /** Position of the write that names it. */
  readonly position: number;
  readonly reading: Reading;
}

/** The writes behind an entry. */
export interface Provenance {
  /** The write of the entry, then those that it was based on, nearest first. */
  readonly writes: readonly TracedWrite[];
  readonly links: readonly TracedLink[];
  /** Readings that are not followed. */
  readonly open: readonly OpenReading[];
  /** `true` if there are more writes than `limit`. */
  readonly more: boolean;
}

/** What a write has touched. */
export interface Impact {
  /** The write itself, then the later ones that were based on it, directly or through others, nearest first. */
  readonly writes: readonly (TracedWrite & {
    /** `false`: every way to this write goes through a range or a position, so it may not have read any of them. */
    readonly certain: boolean;
  })[];
  readonly links: readonly TracedLink[];
  /** The agents of the later writes, each with their number, most first. */
  readonly agents: readonly { readonly agent: string | null; readonly writes: number }[];
  /** `true` if there are more writes than `limit`. */
  readonly more: boolean;
}

/** Options of `impact`. */
export interface ImpactOptions {
  /** Most writes to return, from 1 to 100,000. Default 10,000. */
  readonly limit?: number | undefined;
}

/** Options of `provenance`. */
export interface ProvenanceOptions extends ImpactOptions {
  /** Position at which the entry is looked up. Default: the present. */
  readonly at?: number | undefined;
}

/** A write: the position of its update, or the entry that it is the last write of. */
export type WriteTarget = number | { readonly key: string; readonly namespace?: string | undefined };

export const PROVENANCE_OPTIONS = optionNames<ProvenanceOptions>('provenance', { at: true, limit: true });
export const IMPACT_OPTIONS = optionNames<ImpactOptions>('impact', { limit: true });

const DEFAULT_LIMIT = 10_000;
const MAX_LIMIT = 100_000;

/**
 * Returns the checked limit of a trace.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function limitOf(method: string, limit: unknown = DEFAULT_LIMIT): number {
  if (Number.isSafeInteger(limit) && (limit as number) >= 1 && (limit as number) <= MAX_LIMIT) return limit as number;
  throw new ContextCacheError('INVALID_OPTION', `${method}: limit must be an integer from 1 to ${MAX_LIMIT}.`);
}

/** Returns the basis of an update; that of a `touch` has the entry that it keeps. */
export function readingsOf({ operation, basis = [], namespace, key, replaced }: Update): readonly Reading[] {
  return operation === 'touch' && key !== null ? [...basis, { namespace, key, version: replaced }] : basis;
}
