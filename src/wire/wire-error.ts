import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import type { Entry } from '../core/namespace-state.ts';

/** An error as other programs get it. */
export interface WireError {
  /** A code of {@link ErrorCode}; `INTERNAL` for what is none of the cache's errors. */
  readonly code: string;
  readonly message: string;
  /** With `VERSION_CONFLICT`: the entry as it is; `null` where there is none. */
  readonly current?: Entry | null;
}

/** The answer to a command: `ok`, or why not. `found` is there, and false, where a key that was asked for is not. */
export type WireAnswer = { readonly ok: unknown; readonly found?: false } | { readonly error: WireError };

/** What other programs are told of an error. */
export function wireError(error: unknown): WireError {
  if (error instanceof VersionConflictError) {
    return { code: error.code, message: error.message, current: error.current ?? null };
  }
  if (error instanceof ContextCacheError) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** JSON knows no `undefined`, and a stored `null` is a value: a miss is told beside it. */
export function wireAnswer(type: string, answer: unknown): WireAnswer {
  if (answer !== undefined) return { ok: answer };
  const asked = type === 'context.get' || type === 'context.entry';
  return asked ? { ok: null, found: false } : { ok: null };
}

/** The error on the side of whoever asked. */
export function errorOf({ code, message }: WireError): ContextCacheError {
  return new ContextCacheError(code as ErrorCode, message);
}

/** HTTP statuses of the codes that are not 500. */
const STATUS: Partial<Record<string, number>> = {
  INVALID_NAME: 400,
  INVALID_VALUE: 400,
  INVALID_COMMAND: 400,
  INVALID_OPTION: 400,
  SCHEMA_MISMATCH: 400,
  POSITION_UNAVAILABLE: 410,
  NOT_FOUND: 404,
  VERSION_CONFLICT: 409,
  NOT_EMPTY: 409,
  OVERLOADED: 503,
  CLOSED: 503,
  LOG_UNAVAILABLE: 503,
  NAMESPACE_UNAVAILABLE: 503,
  UNREACHABLE: 502,
  BACKEND_FAILED: 502,
  TIMED_OUT: 504,
};

/** The HTTP status that fits an error's code. */
export function statusOf({ code }: WireError): number {
  return STATUS[code] ?? 500;
}
