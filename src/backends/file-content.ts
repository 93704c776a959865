import { ContextCacheError, toError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { Update } from '../core/update.ts';
import { admit, type JsonValue } from '../core/value.ts';
import { changeOf } from './change.ts';

/** The content of a `FileContextCache`. Maps, so that no name is special. */
export interface FileContent {
  readonly spaces: Map<string, Map<string, JsonValue>>;
  /** Position of each log that is mirrored here. */
  readonly positions: Map<string, number>;
}

const FORMAT = 'agent-context-cache file 1';
const ANY_FORMAT = /^agent-context-cache file \d+$/;

/** Limits that protect the reader. The limits of the cache were checked when a value was set. */
const LIMITS = { maxDepth: 10_000, maxBytes: Number.POSITIVE_INFINITY };

/** Returns the JSON text `{ "format", "namespaces": { namespace: { key: value } }, "positions": { log: position } }`. */
export function textOf({ spaces, positions }: FileContent): string {
  const namespaces = [...spaces].map(([name, space]) => {
    const entries = [...space].map(([key, value]) => `\n      ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
    return `\n    ${JSON.stringify(name)}: {${entries.join(',')}${entries.length > 0 ? '\n    ' : ''}}`;
  });
  const marks = [...positions].map(([log, position]) => `${JSON.stringify(log)}: ${position}`);
  return `{
  "format": ${JSON.stringify(FORMAT)},
  "namespaces": {${namespaces.join(',')}${namespaces.length > 0 ? '\n  ' : ''}},
  "positions": {${marks.join(', ')}}
}
`;
}

/**
 * Reads the text that {@link textOf} returns.
 *
 * @throws {ContextCacheError} `FILE_CORRUPT`, `FORMAT_UNSUPPORTED`.
 */
export function contentOf(bytes: Uint8Array, path: string): FileContent {
  try {
    return read(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (thrown) {
    if (thrown instanceof ContextCacheError && thrown.code === 'FORMAT_UNSUPPORTED') throw thrown;
    // The message of the parser quotes the file, which may hold secrets.
    const cause = thrown instanceof SyntaxError ? new SyntaxError('not JSON') : toError(thrown);
    const message = `${path} is damaged or is not a file of this cache. It is left as it is: mend it, move it away or choose another path.`;
    throw new ContextCacheError('FILE_CORRUPT', message, { cause });
  }
}

/** Applies one update to the content. */
export function takeUpdate({ spaces }: FileContent, update: Update): void {
  const { kind, namespace, key, value } = changeOf(update);
  if (kind === 'drop') {
    spaces.delete(namespace);
    return;
  }
  const space = spaceOf(spaces, namespace);
  if (kind === 'set') space.set(key, value);
  else if (kind === 'delete') space.delete(key);
  else if (kind === 'clear') space.clear();
}

/** Returns the namespace; creates it if it is new. */
export function spaceOf(spaces: FileContent['spaces'], namespace: string): Map<string, JsonValue> {
  const known = spaces.get(namespace);
  if (known !== undefined) return known;
  const made = new Map<string, JsonValue>();
  spaces.set(namespace, made);
  return made;
}

function read(parsed: unknown): FileContent {
  const { format, namespaces, positions, ...others } = objectOf(parsed);
  if (typeof format === 'string' && format !== FORMAT && ANY_FORMAT.test(format)) {
    const message = `The file has the format "${format}"; this version reads "${FORMAT}". Use the version that wrote it.`;
    throw new ContextCacheError('FORMAT_UNSUPPORTED', message);
  }
  // Unknown fields would be lost at the next write.
  if (format !== FORMAT || Object.keys(others).length > 0) throw new TypeError('not the format of this cache');
  const spaces: FileContent['spaces'] = new Map();
  for (const [name, space] of Object.entries(objectOf(namespaces))) {
    checkName('namespace', name);
    spaces.set(name, readSpace(objectOf(space)));
  }
  return { spaces, positions: new Map(Object.entries(objectOf(positions)).map(readPosition)) };
}

function readSpace(parsed: Record<string, unknown>): Map<string, JsonValue> {
  const space = new Map<string, JsonValue>();
  for (const [key, value] of Object.entries(parsed)) {
    checkName('key', key);
    space.set(key, admit(value, LIMITS).value);
  }
  return space;
}

function readPosition([log, position]: [string, unknown]): [string, number] {
  if (!Number.isSafeInteger(position)) throw new TypeError('a position that is not an integer');
  return [log, position as number];
}

function objectOf(parsed: unknown): Record<string, unknown> {
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  throw new TypeError('something other than an object');
}
