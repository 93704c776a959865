import { ContextCacheError, toError } from './errors.ts';
import { NamePattern } from './name-pattern.ts';
import { optionNames } from './options.ts';
import { isOwnNamespace } from './own-namespaces.ts';
import { admit, type JsonValue, type ValueLimits } from './value.ts';

/** The entry or the update whose value is migrated. */
export interface MigratedKey {
  readonly namespace: string;
  readonly key: string;
}

/**
 * A step from one form of values to the next. It is applied to what readers get; what is stored stays as it was written.
 *
 * `when` and `migrate` must depend on their arguments alone: they are called again for the same value, in any order and in each
 * process that reads it.
 *
 * @example
 * ```ts
 * const migrations = [
 *   {
 *     version: 2,
 *     namespaces: 'trip/**',
 *     when: (value) => typeof value === 'string',
 *     migrate: (value) => ({ city: value }),
 *   },
 * ];
 * const cache = await AgentContextCache.open({ dataDir, schemas, migrations });
 * ```
 */
export interface Migration {
  /**
   * The version that this step leads to, an integer from 1. Steps are applied in order of their versions; two steps with one version must not
   * match the same namespace.
   */
  readonly version: number;
  /** The namespaces: a pattern such as `trip/**`, or several; the patterns of grants. The cache's own, `$forgotten` and `briefing/cursors`, are never migrated. */
  readonly namespaces: string | readonly string[];
  /**
   * Returns whether a value has the form before this step. Must be `false` for what `migrate` returns. If two forms look alike, let
   * the value carry a number that tells them apart.
   */
  readonly when: (value: JsonValue, key: MigratedKey) => boolean;
  /** Returns the value in the form of this version: JSON, at once. A part that was forgotten is `null`. */
  readonly migrate: (value: JsonValue, key: MigratedKey) => unknown;
}

/** Namespaces whose steps are remembered. */
const KNOWN_NAMESPACES = 4_096;

interface Step extends Omit<Migration, 'namespaces'> {
  readonly patterns: readonly NamePattern[];
}

/** A value that was migrated, and for which entry. */
interface Migrated extends MigratedKey {
  readonly value: JsonValue;
}

const NAMES = optionNames<Migration>('a migration', { version: true, namespaces: true, when: true, migrate: true });

/** Migrates values as they are read. Remembers what it has made of each object as long as that object exists. */
export class Migrations {
  readonly #steps: readonly Step[];
  readonly #limits: ValueLimits;
  readonly #stepsOf = new Map<string, readonly Step[]>();
  readonly #known = new WeakMap<object, Migrated>();

  /** @throws {ContextCacheError} `INVALID_OPTION`. */
  constructor(migrations: readonly Migration[], limits: ValueLimits) {
    if (!Array.isArray(migrations)) throw invalid('migrations must be an array of steps');
    this.#steps = migrations.map(stepOf).sort((a, b) => a.version - b.version);
    this.#limits = limits;
  }

  /**
   * Returns a value in the newest form, frozen; the value itself if it has that already.
   *
   * @throws {ContextCacheError} `MIGRATION_FAILED`.
   */
  migrated(namespace: string, key: string, value: JsonValue, where?: string): JsonValue {
    const steps = this.#of(namespace);
    if (steps.length === 0) return value;
    const object = typeof value === 'object' ? value : null;
    const known = object === null ? undefined : this.#known.get(object);
    if (known !== undefined && known.key === key && known.namespace === namespace) return known.value;
    let present = value;
    for (const step of steps) present = this.#applied(step, { namespace, key }, present, where);
    if (object !== null) this.#known.set(object, { namespace, key, value: present });
    return present;
  }

  /** Returns whether values of a namespace may be migrated. */
  concerns(namespace: string): boolean {
    return !isOwnNamespace(namespace) && this.#steps.some((step) => isFor(step, namespace));
  }

  #applied(step: Step, about: MigratedKey, value: JsonValue, where: string | undefined): JsonValue {
    try {
      if (!step.when(value, about)) return value;
      const { value: next } = admit(step.migrate(value, about), this.#limits);
      if (!step.when(next, about)) return next;
    } catch (thrown) {
      throw failed(step, about, where, toError(thrown));
    }
    throw failed(step, about, where, new Error('when still holds for the value that migrate has returned.'));
  }

  #of(namespace: string): readonly Step[] {
    const known = this.#stepsOf.get(namespace);
    if (known !== undefined) return known;
    // The cache's own records keep the form that it reads.
    const steps = isOwnNamespace(namespace) ? [] : this.#steps.filter((step) => isFor(step, namespace));
    const twice = steps.find(({ version }, index) => steps[index + 1]?.version === version);
    if (twice !== undefined)
      throw invalid(
        `Two migrations lead namespace ${JSON.stringify(namespace)} to version ${twice.version}. Give each a version of its own`,
      );
    if (this.#stepsOf.size >= KNOWN_NAMESPACES) this.#stepsOf.clear();
    this.#stepsOf.set(namespace, steps);
    return steps;
  }
}

function isFor({ patterns }: Step, namespace: string): boolean {
  return patterns.some((pattern) => pattern.matches(namespace));
}

function stepOf(migration: Migration): Step {
  NAMES.check(migration);
  const { version, namespaces, when, migrate } = migration;
  if (!Number.isSafeInteger(version) || version < 1)
    throw invalid('version of a migration must be an integer from 1, the version that it leads to');
  if (typeof when !== 'function' || typeof migrate !== 'function')
    throw invalid(`The migration to version ${version} needs when and migrate, which are functions of the value`);
  const patterns = [namespaces].flat().map((text) => new NamePattern(text as string));
  if (patterns.length === 0) throw invalid(`The migration to version ${version} names no namespaces. Use "**" for all`);
  return { version, when, migrate, patterns };
}

function failed(
  { version }: Step,
  { namespace, key }: MigratedKey,
  where: string | undefined,
  cause: Error,
): ContextCacheError {
  const what = `The migration to version ${version} failed for key ${JSON.stringify(key)} of namespace ${JSON.stringify(namespace)}`;
  const at = where === undefined ? '' : ` (${where})`;
  const remedy = 'The stored value is unchanged: correct the migration, and check it with checkSchemas.';
  return new ContextCacheError('MIGRATION_FAILED', `${what}${at}: ${cause.message} ${remedy}`, { cause });
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}
