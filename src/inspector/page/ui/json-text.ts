import type { Preview } from '../../data-protocol.ts';

/** Texts longer than this are not parsed: the page would stand still. */
const LONGEST = 200_000;

/** Returns the object or list that a text holds as JSON; `undefined` if it holds none. */
export function jsonInText(text: string): object | undefined {
  const first = text.trimStart()[0];
  if ((first !== '{' && first !== '[') || text.length > LONGEST) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns a preview in one line. JSON in a string is shown without its quotes and backslashes. */
export function previewText({ text, cut, missing }: Preview): string {
  if (missing !== undefined) return missing === 'sealed' ? 'no key here' : missing;
  const plain = /^"\s*[{[]/.test(text) ? text.replace(/^"|"$/g, '').replaceAll(/\\(["\\/])/g, '$1') : text;
  return cut ? `${plain}…` : plain;
}
