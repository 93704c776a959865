import { AccessDeniedError, type GrantAction } from '../core/access-denied.ts';
import type { Acknowledgement } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError, type ErrorCode, InvalidValueError } from '../core/errors.ts';
import type { Entry } from '../core/namespace-state.ts';
import { OperationReusedError } from '../core/operations.ts';

/** An error as JSON. */
export interface WireError {
  /** A code of {@link ErrorCode}; `INTERNAL` for other errors. */
  readonly code: string;
  readonly message: string;
  /** For `VERSION_CONFLICT`: the entry that the writer meant, and the version that it expected. */
  readonly namespace?: string;
  readonly key?: string;
  readonly expected?: number;
  /** The present entry, for `VERSION_CONFLICT`; `null` if there is none. */
  readonly current?: Entry | null;
  /** For `OPERATION_REUSED`: the id, and the acknowledgement of the write that was applied under it. */
  readonly operationId?: string;
  readonly acknowledgement?: Acknowledgement;
  /** For `ACCESS_DENIED`, with `namespace` and `key`: who was refused what. */
  readonly agent?: string;
  readonly action?: GrantAction;
  readonly command?: string;
  readonly as?: string;
  /** For `INVALID_VALUE`: the path to the invalid part of the value. */
  readonly path?: string;
}

/** The answer to a command: `ok` or an error. `found` is false, and present, only if the key is missing. */
export type WireAnswer = { readonly ok: unknown; readonly found?: false } | { readonly error: WireError };

/** Converts an error to JSON. */
export function wireError(error: unknown): WireError {
  if (error instanceof VersionConflictError) {
    const { code, message, namespace, key, expected, current = null } = error;
    return { code, message, namespace, key, expected, current };
  }
  if (error instanceof AccessDeniedError) {
    const { code, message, agent, action, namespace, key, command, as } = error;
    return { code, message, agent, action, ...present({ namespace, key, command, as }) };
  }
  if (error instanceof OperationReusedError) {
    const { code, message, operationId, acknowledgement } = error;
    return { code, message, operationId, acknowledgement };
  }
  if (error instanceof InvalidValueError) return { code: error.code, message: error.message, path: error.path };
  if (error instanceof ContextCacheError) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Converts an answer to JSON. JSON has no `undefined` and a stored `null` is a value, so a miss is marked beside it. */
export function wireAnswer(type: string, answer: unknown): WireAnswer {
  if (answer !== undefined) return { ok: answer };
  const asked = type === 'context.get' || type === 'context.entry';
  return asked ? { ok: null, found: false } : { ok: null };
}

/** Converts JSON to an error of the same class, with the same fields, in the client. */
export function errorOf(error: WireError): ContextCacheError {
  const { code, message, namespace, key, expected, current, path, operationId, acknowledgement } = error;
  if (code === 'ACCESS_DENIED' && error.agent !== undefined && error.action !== undefined) {
    const { agent, action, command, as } = error;
    return new AccessDeniedError({ agent, action, namespace, key, command, as });
  }
  if (operationId !== undefined && acknowledgement !== undefined) {
    return new OperationReusedError(operationId, acknowledgement);
  }
  if (namespace !== undefined && key !== undefined && expected !== undefined) {
    const conflict = new VersionConflictError(namespace, key, expected, current ?? undefined);
    return current ? conflict : Object.assign(conflict, { message });
  }
  return path === undefined
    ? new ContextCacheError(code as ErrorCode, message)
    : Object.assign(new InvalidValueError(path, '', ''), { message });
}

/** Returns the fields that are set, because MessagePack keeps those that are `undefined`. */
function present(
  fields: {
    readonly [Name in 'namespace' | 'key' | 'command' | 'as']: string | undefined;
  },
): Pick<WireError, keyof typeof fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** HTTP statuses by code; all others are 500. */
const STATUS: Partial<Record<string, number>> = {
  INVALID_NAME: 400,
  INVALID_VALUE: 400,
  INVALID_COMMAND: 400,
  INVALID_OPTION: 400,
  SCHEMA_MISMATCH: 400,
  POSITION_UNAVAILABLE: 410,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  ACCESS_DENIED: 403,
  NOT_FOUND: 404,
  VERSION_CONFLICT: 409,
  OPERATION_REUSED: 409,
  NOT_EMPTY: 409,
  SUBJECT_FORGOTTEN: 409,
  OVERLOADED: 503,
  CLOSED: 503,
  KEY_UNAVAILABLE: 503,
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
