import { invalidCommand } from './invalid-command.ts';
import { admitMeta, type Meta } from './meta.ts';
import type { JsonValue } from './value.ts';

/** Says that an update takes an earlier one back. */
export interface Retraction {
  /** Position of the update that was taken back. */
  readonly position: number;
  /** Why; absent: no reason was given. */
  readonly reason?: string | undefined;
}

/** Says that an entry is based on a write that was taken back, and has not been written since. */
export interface Stale {
  /** Position of the write that was taken back. */
  readonly because: number;
  /** Why it was; absent: no reason was given. */
  readonly reason?: string | undefined;
}

/** Notes of retractions about an update or an entry. Both are absent if none is about it. */
export interface RetractionFields {
  /** The update takes an earlier one back; of an entry: its last update does. */
  readonly retraction?: Retraction | undefined;
  /** The entry is based on a write that was taken back. The next write of the key clears this; a `touch` keeps it. */
  readonly stale?: Stale | undefined;
}

/** Names of `meta` that `retract` alone writes, in the order in which they are stored after the writer's own. */
const RETRACTION = '$retraction';
const STALE = '$stale';

/** Largest number of characters of a reason. */
export const MAX_REASON_CHARACTERS = 500;

/**
 * Refuses names of `meta` that `retract` alone writes.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function refuseReserved(meta: Meta): Meta {
  if (!isNoted(meta)) return meta;
  throw invalidCommand(`meta must not have ${RETRACTION} or ${STALE}: retract writes them. Choose another name`);
}

/** Returns `meta` as it is stored: the writer's own, and after it what a retraction says. */
export function notedMeta(meta: Meta | undefined, { retraction, stale }: RetractionFields): Meta | undefined {
  if (retraction === undefined && stale === undefined) return meta;
  const { [RETRACTION]: _, [STALE]: __, ...own } = meta ?? {};
  return Object.freeze({
    ...own,
    ...(retraction !== undefined && { [RETRACTION]: stored({ position: retraction.position }, retraction) }),
    ...(stale !== undefined && { [STALE]: stored({ because: stale.because }, stale) }),
  });
}

function stored(about: { readonly [name: string]: JsonValue }, { reason }: { readonly reason?: string | undefined }) {
  return Object.freeze(reason === undefined ? about : { ...about, reason });
}

/** Returns a stored `meta` as readers see it: the writer's own, and beside it what a retraction says. */
export function shownMeta(meta: Meta | undefined): RetractionFields & { readonly meta?: Meta | undefined } {
  if (meta === undefined) return {};
  if (!isNoted(meta)) return { meta };
  const { [RETRACTION]: retraction, [STALE]: stale, ...own } = meta;
  return {
    ...(Object.keys(own).length > 0 && { meta: Object.freeze(own) }),
    ...(retraction !== undefined && { retraction: retraction as unknown as Retraction }),
    ...(stale !== undefined && { stale: stale as unknown as Stale }),
  };
}

/** Returns a stored `meta` without notes about positions after `last`. */
export function notedUntil(meta: Meta | undefined, last: number): Meta | undefined {
  if (meta === undefined || !isNoted(meta)) return meta;
  const { meta: own, retraction, stale } = shownMeta(meta);
  return notedMeta(own, {
    retraction: retraction !== undefined && retraction.position <= last ? retraction : undefined,
    stale: stale !== undefined && stale.because <= last ? stale : undefined,
  });
}

/** Returns whether a stored `meta` has something that `retract` wrote. */
export function isNoted(meta: Meta | undefined): boolean {
  return meta !== undefined && (Object.hasOwn(meta, RETRACTION) || Object.hasOwn(meta, STALE));
}

/** Returns an update or a version of an entry as readers see it; the same object if no retraction is about it. */
export function withNotes<Shows extends { readonly meta?: Meta | undefined }>(shown: Shows): Shows & RetractionFields {
  const { meta } = shown;
  if (!isNoted(meta)) return shown;
  const { meta: _, ...rest } = shown;
  return Object.freeze({ ...rest, ...shownMeta(meta) }) as Shows & RetractionFields;
}

/** Returns what a stored update takes back; `undefined` if it is not one of a retraction. */
export function retractionOf({ meta }: { readonly meta?: Meta | undefined }): Retraction | undefined {
  return meta === undefined ? undefined : shownMeta(meta).retraction;
}

/** Returns why a stored entry is stale; `undefined` if it is not. */
export function staleOf({ meta }: { readonly meta?: Meta | undefined }): Stale | undefined {
  return meta === undefined ? undefined : shownMeta(meta).stale;
}

/**
 * Checks a stored `meta` from outside, and returns a frozen copy.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function admitStoredMeta(candidate: unknown): Meta {
  const isObject = typeof candidate === 'object' && candidate !== null && !Array.isArray(candidate);
  if (!isObject || !isNoted(candidate as Meta)) return admitMeta(candidate);
  const { [RETRACTION]: retraction, [STALE]: stale, ...own } = candidate as { readonly [name: string]: unknown };
  const meta = notedMeta(admitMeta(own), {
    retraction: retraction === undefined ? undefined : admitRetraction(retraction),
    stale: stale === undefined ? undefined : admitStale(stale),
  });
  return meta as Meta;
}

/** Checks what a retraction says about an update that comes from outside. */
export function admitRetraction(candidate: unknown): Retraction {
  const { position, reason } = fieldsOf(candidate);
  if (isPosition(position)) return { position, ...admitReason(reason) };
  throw invalidCommand('retraction must be { position, reason }, with the position of an update');
}

/** Checks why an entry that comes from outside is stale. */
export function admitStale(candidate: unknown): Stale {
  const { because, reason } = fieldsOf(candidate);
  if (isPosition(because)) return { because, ...admitReason(reason) };
  throw invalidCommand('stale must be { because, reason }, with the position of an update');
}

function admitReason(reason: unknown): { readonly reason?: string } {
  if (reason === undefined) return {};
  if (isReason(reason)) return { reason };
  throw invalidCommand(`reason must be a well-formed string of 1 to ${MAX_REASON_CHARACTERS} characters`);
}

/** Returns whether a value is a valid reason. */
export function isReason(reason: unknown): reason is string {
  return typeof reason === 'string' && reason !== '' && reason.length <= MAX_REASON_CHARACTERS && reason.isWellFormed();
}

/** Returns whether a value can be the position of an update. */
export function isPosition(position: unknown): position is number {
  return Number.isSafeInteger(position) && (position as number) >= 1;
}

function fieldsOf(candidate: unknown): { readonly [name: string]: unknown } {
  return typeof candidate === 'object' && candidate !== null ? (candidate as { readonly [name: string]: unknown }) : {};
}
