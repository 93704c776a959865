import { type JsonValue, setOwn } from './value.ts';

/** JSON pointers (RFC 6901) into values: `/contact/email`, `/tags/0`; `''` is the whole value. */

/** Returns what a pointer leads to; `undefined` if there is nothing. */
export function valueAt(value: JsonValue, pointer: string): JsonValue | undefined {
  return pointerSteps(pointer).reduce<JsonValue | undefined>(stepInto, value);
}

/** Returns what one step of a pointer leads to; `undefined` if there is nothing. */
export function stepInto(value: JsonValue | undefined, step: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value) ? !/^(0|[1-9]\d*)$/.test(step) : !Object.hasOwn(value, step)) return undefined;
  return (value as { readonly [name: string]: JsonValue })[step];
}

/**
 * Returns whether a change may have moved the part of a value at a pointer: the new value has nothing or `null` there, or an array on
 * the way to it has another length. `false` for the pointer of the whole value, and if the old value has nothing or `null` there.
 */
export function mayHaveMoved(pointer: string, before: JsonValue | undefined, after: JsonValue | undefined): boolean {
  let [from, to, isResized] = [before, after, false];
  for (const step of pointerSteps(pointer)) {
    isResized ||= lengthOf(from) !== lengthOf(to);
    [from, to] = [stepInto(from, step), stepInto(to, step)];
  }
  return pointer !== '' && (from ?? null) !== null && (isResized || (to ?? null) === null);
}

function lengthOf(value: JsonValue | undefined): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}

/** Returns whether a text is a pointer of well-formed Unicode. */
export function isPointer(text: string): boolean {
  return (text === '' || text.startsWith('/')) && text.isWellFormed() && !/~(?![01])/.test(text);
}

/** Returns a frozen copy of a value in which pointers lead to other values. What they lead to must be there. */
export function replacedAt(
  value: JsonValue,
  replacements: Iterable<readonly [pointer: string, value: JsonValue]>,
): JsonValue {
  let result = value;
  for (const [pointer, replacement] of replacements) result = replaced(result, pointerSteps(pointer), replacement);
  return result;
}

function replaced(value: JsonValue, [step, ...rest]: readonly string[], replacement: JsonValue): JsonValue {
  if (step === undefined) return replacement;
  if (Array.isArray(value)) {
    const copy: JsonValue[] = value.slice();
    copy[Number(step)] = replaced(copy[Number(step)] as JsonValue, rest, replacement);
    return Object.freeze(copy);
  }
  const copy: Record<string, JsonValue> = {};
  for (const [name, inner] of Object.entries(value as object) as [string, JsonValue][])
    setOwn(copy, name, name === step ? replaced(inner, rest, replacement) : inner);
  return Object.freeze(copy);
}

/** Returns the names that a pointer leads through. */
export function pointerSteps(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}
