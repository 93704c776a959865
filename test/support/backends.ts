import { createUpdate, type Operation, type Update } from '../../src/core/update.ts';
import type { JsonValue } from '../../src/core/value.ts';

/** An instant in the future: the year 2100. */
export const LATER = 4_102_444_800_000;

export const never: AbortSignal = new AbortController().signal;

export interface UpdateFields {
  readonly key?: string | null;
  readonly value?: JsonValue;
  readonly namespace?: string;
  readonly expiresAt?: number | null;
  readonly drop?: boolean;
}

export function updateAt(position: number, operation: Operation, fields: UpdateFields = {}): Update {
  const { key = 'key', value = null, namespace = 'space', expiresAt = null, drop = false } = fields;
  const update = createUpdate({
    namespace,
    version: position,
    operation,
    key,
    value,
    at: 0,
    expiresAt,
    drop,
    bytes: 10,
  });
  update.position = position;
  return update;
}

/** Returns the error that a call throws or rejects with. */
export async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('The call was expected to fail.');
}
