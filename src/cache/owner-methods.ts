import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Grant } from '../core/grants.ts';
import type { SchemaCheckOptions, SchemaReport } from '../core/schema-report.ts';
import type { NamespaceSchemas } from '../core/schemas.ts';
import type { ForgetOptions, ForgetReport, SubjectInfo } from './forget.ts';

/** The methods by which the owner of a cache governs it; a client has them too. */
export interface OwnerMethods {
  /**
   * Forgets a subject: destroys the key that its values are encrypted with wherever they are stored, in old backups too. Resolves
   * once that is durable. Its entries then have `forgotten`, and `get` finds nothing: in this cache and its views, branches, clients
   * and nodes at once, in other processes with the same file of keys within a second. The log stays whole. Repeating it is harmless.
   *
   * @throws {ContextCacheError} (as a rejection) `NOT_FOUND` for an unknown subject; `INVALID_OPTION` without the option `subjects`;
   *   `FORBIDDEN` in a branch; `INVALID_COMMAND`; `KEY_UNAVAILABLE` if the key cannot be destroyed; the errors of a write.
   * @example `const { entries, published } = await cache.forget('user-42', { reason: 'asked on 3 May' });`
   */
  forget(subject: string, options?: ForgetOptions): Promise<ForgetReport>;

  /** Returns the subjects that the key store has keys for, and those that were forgotten, sorted. */
  subjects(): Promise<SubjectInfo[]>;

  /** Returns the grants in force; none: every agent may do everything. */
  getGrants(): MaybePromise<readonly Grant[]>;

  /**
   * Replaces all grants; an empty list removes them. They are in force at once, also for watches that are running, and a data
   * directory keeps them. Rejects with `INVALID_OPTION`, and with `LOG_UNAVAILABLE` if they cannot be stored.
   *
   * @example `await cache.setGrants([{ agent: 'planner', read: ['trip/**'], write: ['trip/plan/**'] }]);`
   */
  setGrants(grants: readonly Grant[]): Promise<void>;

  /** Adds a grant, or replaces that of the same agent. Otherwise like `setGrants`. */
  addGrant(grant: Grant): Promise<void>;

  /**
   * Removes the grant of an agent. Rejects with `NOT_FOUND` if it has none, and with `INVALID_OPTION` if it is the last one,
   * because without grants every agent may do everything; `setGrants` with an empty list does that.
   */
  removeGrant(agent: string): Promise<void>;

  /**
   * Checks which values a new version of the schemas refuses, before it is used: the values of all updates that the log holds, and
   * all present ones, as they are readable. Changes nothing. Reads in bounded memory while writes go on. Values of namespaces without a schema are
   * not counted.
   *
   * A client reads the values from its server and checks them itself, so that schemas need not be sent. It opens a view for
   * each recorded value with a subject.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, also for a schema that validates asynchronously;
   *   `POSITION_UNAVAILABLE` if the log does not hold `from`; the signal's reason, and the errors of reading.
   *
   * @example
   * ```ts
   * const { ok, present } = await cache.checkSchemas({ 'trip:*': z.object({ city: z.string() }) });
   * for (const { namespace, key, agent, issues } of present) console.error(namespace, key, agent, issues);
   * ```
   */
  checkSchemas(schemas: NamespaceSchemas, options?: SchemaCheckOptions): Promise<SchemaReport>;
}
