import { realpathSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { ContextCacheError, toError } from '../core/errors.ts';
import { limitsOf } from '../core/limits.ts';
import { Migrations } from '../core/migrations.ts';
import { FORGOTTEN_NAMESPACE } from '../core/own-namespaces.ts';
import type { Report } from '../core/report.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import type { JsonValue } from '../core/value.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import { fileSubjectKeys } from '../subjects/file-subject-keys.ts';
import { KeyRing } from '../subjects/key-ring.ts';
import { isKey, type SubjectKeyStore } from '../subjects/subject-keys.ts';
import { type ForgottenRecords, SubjectVault } from '../subjects/subject-vault.ts';
import type { EngineOptions } from './options.ts';

/**
 * Creates the part of a cache that seals and opens values with subjects.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, and the errors of {@link fileSubjectKeys}.
 */
export function subjectsOf(
  { subjects, dataDir, isBranch }: Pick<EngineOptions, 'subjects' | 'dataDir' | 'isBranch'>,
  registry: NamespaceRegistry,
  report: Report,
): SubjectVault {
  const ring = subjects === undefined ? undefined : KeyRing.of(storeOf(subjects.keys, dataDir));
  const records: ForgottenRecords = {
    get revision() {
      return registry.lastChange(FORGOTTEN_NAMESPACE);
    },
    *all() {
      if (!registry.has(FORGOTTEN_NAMESPACE)) return;
      const state = registry.stateInMemory(FORGOTTEN_NAMESPACE) ?? registry.stateOnDisk(FORGOTTEN_NAMESPACE);
      for (const [subject, { value }] of state?.entries ?? []) yield { subject, keys: keysIn(value) };
    },
  };
  const failed = (error: Error) => report(error, { source: 'subjects' });
  const destroy = (subject: string, keys: readonly string[]) => {
    if (ring === undefined) return;
    finish(ring.store, subject, keys).catch((error) => failed(toError(error)));
  };
  const vault = new SubjectVault(ring, records, destroy, failed, isBranch);
  // Keys that a crash has left are destroyed now. A branch has none of its own, and is created without reading anything.
  if (ring !== undefined && isBranch !== true) vault.noteForgotten();
  return vault;
}

/** Returns the door of readers of the present: it opens values, and migrates them if there are migrations. */
export function migrating(door: SubjectDoor, { migrations, limits }: EngineOptions): SubjectDoor {
  if (migrations === undefined) return door;
  return {
    migrations: new Migrations(migrations, limitsOf(limits)),
    seal: (sealing) => door.seal(sealing),
    open: (namespace, key, sealed) => door.open(namespace, key, sealed),
    failureOf: (sealed) => door.failureOf?.(sealed),
    tagsOf: (sealed) => door.tagsOf(sealed),
  };
}

/** Returns the ids of the keys in the record of a forgotten subject. */
function keysIn(record: JsonValue | undefined): readonly string[] {
  const { keys } = (record ?? {}) as { readonly keys?: unknown };
  return Array.isArray(keys) ? keys.filter((id) => typeof id === 'string') : [];
}

/** Destroys the key of a subject that was forgotten elsewhere, or in a process that ended before it had destroyed the key. */
async function finish(store: SubjectKeyStore, subject: string, keys: readonly string[]): Promise<void> {
  for (const id of keys) if (isKey(await store.find(id))) await store.destroy(subject);
}

function storeOf(keys: SubjectKeyStore | string, dataDir: string | undefined): SubjectKeyStore {
  if (typeof keys === 'string') {
    if (dataDir !== undefined && isInside(keys, dataDir)) {
      const message = `subjects.keys: ${keys} lies in the data directory, so that copies of the directory would have the keys.`;
      throw new ContextCacheError('INVALID_OPTION', `${message} Keep the file elsewhere.`);
    }
    return fileSubjectKeys(keys);
  }
  const methods = ['keyFor', 'find', 'destroy', 'list'] as const;
  if (typeof keys === 'object' && keys !== null && methods.every((name) => typeof keys[name] === 'function'))
    return keys;
  const message = 'subjects.keys must be the path of a file, or a store such as fileSubjectKeys(path) returns.';
  throw new ContextCacheError('INVALID_OPTION', message);
}

function isInside(path: string, directory: string): boolean {
  return `${real(dirname(resolve(path)))}${sep}`.startsWith(`${real(resolve(directory))}${sep}`);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
