import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import type { Entry } from '../core/namespace-state.ts';

/** An error as JSON. */
export interface WireError {
  /** A code of {@link ErrorCode}; `INTERNAL` for other errors. */
  readonly code: string;
  readonly message: string;
  /** The present entry, for `VERSION_CONFLICT`; `null` if there is none. */
  readonly current?: Entry | null;
}

/** The answer to a command: `ok` or an error. `found` is false, and present, only if the key is missing. */
export type WireAnswer = { readonly ok: unknown; readonly found?: false } | { readonly error: WireError };

/** Converts an error to JSON. */
export function wireError(error: unknown): WireError {
  if (error instanceof VersionConflictError) {
    return { code: error.code, message: error.message, current: error.current ?? null };
  }
  if (error instanceof ContextCacheError) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Converts an answer to JSON. JSON has no `undefined` and a stored `null` is a value, so a miss is marked beside it. */
export function wireAnswer(type: string, answer: unknown): WireAnswer {
  if (answer !== undefined) return { ok: answer };
  const asked = type === 'context.get' || type === 'context.entry';
  return asked ? { ok: null, found: false } : { ok: null };
}

/** Converts JSON to an error, in the client. */
export function errorOf({ code, message }: WireError): ContextCacheError {
  return new ContextCacheError(code as ErrorCode, message);
}

/** HTTP statuses by code; all others are 500. */
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

/** Returns the HTTP status for an error's code. */
export function statusOf({ code }: WireError): number {
  return STATUS[code] ?? 500;
}
