import { ContextCacheError } from '../../../core/errors.ts';
import type { LevelStorage, StorageWrite } from './level-storage.ts';
import { corrupt, seal, unseal } from './sealed.ts';

/** Identity of a log. */
export interface LogIdentity {
  /** Assigned when the log was created. */
  readonly id: string;
  /** The log's first position is the one after this. */
  readonly begin: number;
}

/** Increases with every change that an older version cannot read. */
const FORMAT = 1;
const PRODUCT = 'agent-context-cache';

/** Plain JSON, so that any later version and any other program can read it. */
const FORMAT_KEY = '!meta!format';
const IDENTITY_KEY = '!meta!log';

/** Stores the identity (of a new log if none is given) and the format. */
export async function createLog(
  storage: Pick<LevelStorage, 'batch'>,
  identity: LogIdentity = { id: crypto.randomUUID(), begin: 0 },
): Promise<LogIdentity> {
  const format = Buffer.from(JSON.stringify({ product: PRODUCT, format: FORMAT }));
  await storage.batch([{ type: 'put', key: FORMAT_KEY, value: format }, identityWrite(identity)], true);
  return identity;
}

/** Returns the write that stores the identity. */
export function identityWrite({ id, begin }: LogIdentity): StorageWrite {
  return { type: 'put', key: IDENTITY_KEY, value: seal([id, begin]) };
}

/**
 * Resolves with the identity of the log in a storage, or with `undefined` if the storage is empty.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED` if a newer version or another program wrote it, `LOG_CORRUPT`.
 */
export async function readIdentity(
  storage: Pick<LevelStorage, 'getMany' | 'entries'>,
  path: string,
): Promise<LogIdentity | undefined> {
  const [format, identity] = await storage.getMany([FORMAT_KEY, IDENTITY_KEY]);
  if (format === undefined) {
    for await (const _ of storage.entries({ gte: '', lt: '\u{10ffff}', limit: 1 })) {
      throw unsupported(`${path} holds the database of another program. Use a separate directory.`);
    }
    return undefined;
  }
  checkFormat(format, path);
  if (identity === undefined) throw corrupt(`${path} has no record of its log`);
  const [id, begin] = unseal(identity, () => `The record of the log in ${path}`) as [string, number];
  return { id, begin };
}

function checkFormat(bytes: Uint8Array, path: string): void {
  const { product, format } = parse(bytes, path);
  if (product !== PRODUCT) throw unsupported(`${path} was written by another program. Use a separate directory.`);
  if (format === FORMAT) return;
  throw unsupported(
    `${path} has format ${format}; this version reads format ${FORMAT}. ` +
      'Open it with the version of agent-context-cache that wrote it, or a newer one.',
  );
}

function parse(bytes: Uint8Array, path: string): { product?: unknown; format?: unknown } {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw corrupt(`The format record of ${path} is not JSON`, cause);
  }
}

function unsupported(message: string): ContextCacheError {
  return new ContextCacheError('FORMAT_UNSUPPORTED', message);
}
