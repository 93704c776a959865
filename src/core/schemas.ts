import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ContextCacheError, toError } from './errors.ts';

/**
 * The schema of a namespace: one for all its values, or one for each key (then any other key is refused). Works with every library that implements Standard Schema (https://standardschema.dev). Schemas that validate
 * asynchronously are refused, because a write is visible at once.
 */
export type NamespaceSchema = StandardSchemaV1 | { readonly [key: string]: StandardSchemaV1 };

/**
 * Schemas by namespace. A name that ends in `*` is a pattern: it stands for every namespace that starts with the text
 * before it, as `trip:*` does for `trip:7`. An exact name wins over a pattern, a longer pattern over a shorter one, and
 * only the winner is used. A namespace without a schema takes any JSON value.
 *
 * @example
 * ```ts
 * const schemas = { auth: { token: z.string() }, 'trip:*': { plan: Plan }, 'trip:draft': z.unknown() };
 * const cache = new AgentContextCache({ schemas });
 * ```
 */
export type NamespaceSchemas = { readonly [namespace: string]: NamespaceSchema };

/** Returns the value as the schema's output has it; the value itself if no schema is set. */
export type ValueCheck = (namespace: string, key: string, value: unknown) => unknown;

/** The check of a cache without schemas. */
export const unchecked: ValueCheck = (_namespace, _key, value) => value;

/**
 * Creates the check at the door.
 *
 * @throws {ContextCacheError} `SCHEMA_MISMATCH` by the check, with what the schema found.
 */
export function createValueCheck(schemas: NamespaceSchemas | undefined): ValueCheck {
  if (schemas === undefined) return unchecked;
  const schemaOf = createLookup(schemas);
  return (namespace, key, value) => {
    const found = schemaOf(namespace);
    if (found === undefined) return value;
    if (isSchema(found)) return validate(found, namespace, key, value);
    if (Object.hasOwn(found, key)) return validate(found[key] as StandardSchemaV1, namespace, key, value);
    throw new ContextCacheError(
      'SCHEMA_MISMATCH',
      `The schemas of namespace ${JSON.stringify(namespace)} name no key ${JSON.stringify(key)}. Add one, or use another key.`,
    );
  };
}

/** A check that reports instead of refusing. */
export interface IssueFinder {
  /** Returns whether there is a schema for the values of a namespace. */
  covers(namespace: string): boolean;
  /**
   * Returns what the schema of a namespace finds wrong with a value; nothing if it accepts the value. An exception of the schema
   * counts as an issue.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` if the schema validates asynchronously.
   */
  issuesOf(namespace: string, key: string, value: unknown): readonly string[];
}

/**
 * Creates a check of values that are stored already.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if `schemas` is not an object of schemas.
 */
export function createIssueFinder(schemas: NamespaceSchemas): IssueFinder {
  checkSchemasGiven(schemas);
  const schemaOf = createLookup(schemas);
  return {
    covers: (namespace) => schemaOf(namespace) !== undefined,
    issuesOf: (namespace, key, value) => {
      const found = schemaOf(namespace);
      if (found === undefined) return [];
      if (!isSchema(found) && !Object.hasOwn(found, key)) return ['The schemas of the namespace do not name this key.'];
      const schema = isSchema(found) ? found : (found[key] as StandardSchemaV1);
      try {
        return issuesIn(resultOf(schema, namespace, value)) ?? [];
      } catch (error) {
        if (error instanceof ContextCacheError) throw error;
        return [`The schema threw: ${toError(error).message}`];
      }
    },
  };
}

function checkSchemasGiven(schemas: unknown): void {
  const isObject = (each: unknown) => typeof each === 'object' && each !== null && !Array.isArray(each);
  // A schema may be a function with properties.
  const isStandard = (each: unknown) =>
    (isObject(each) || typeof each === 'function') && '~standard' in (each as StandardSchemaV1);
  if (isObject(schemas) && !isStandard(schemas)) {
    const wrong = Object.entries(schemas as object).find(
      ([, each]) => !isStandard(each) && !(isObject(each) && Object.values(each as object).every(isStandard)),
    );
    if (wrong === undefined) return;
    const problem = `The schema of namespace ${JSON.stringify(wrong[0])} is neither a Standard Schema nor an object of them by key`;
    throw new ContextCacheError('INVALID_OPTION', `${problem}. Correct it.`);
  }
  throw new ContextCacheError('INVALID_OPTION', 'Give the schemas as an object, by namespace or pattern.');
}

/** Finds the schema of a namespace: by exact name, else by the longest pattern. */
function createLookup(schemas: NamespaceSchemas): (namespace: string) => NamespaceSchema | undefined {
  const exact = new Map(Object.entries(schemas));
  const patterns = [...exact]
    .filter(([name]) => name.endsWith('*'))
    .map(([name, schema]) => [name.slice(0, -1), schema] as const);
  patterns.sort(([a], [b]) => b.length - a.length);
  if (patterns.length === 0) return (namespace) => exact.get(namespace);
  return (namespace) => exact.get(namespace) ?? patterns.find(([prefix]) => namespace.startsWith(prefix))?.[1];
}

function isSchema(candidate: NamespaceSchema): candidate is StandardSchemaV1 {
  return '~standard' in candidate;
}

function validate(schema: StandardSchemaV1, namespace: string, key: string, value: unknown): unknown {
  const result = resultOf(schema, namespace, value);
  const issues = issuesIn(result);
  if (issues === undefined) return (result as StandardSchemaV1.SuccessResult<unknown>).value;
  throw new ContextCacheError(
    'SCHEMA_MISMATCH',
    `The value for key ${JSON.stringify(key)} does not fit the schema of namespace ${JSON.stringify(namespace)}: ${issues.join('; ')}.`,
  );
}

function resultOf(schema: StandardSchemaV1, namespace: string, value: unknown): StandardSchemaV1.Result<unknown> {
  const result = schema['~standard'].validate(value);
  if (!(result instanceof Promise)) return result;
  // Its outcome is not used; a rejection must not become an unhandled one.
  result.catch(() => {});
  throw new ContextCacheError(
    'INVALID_OPTION',
    `The schema of namespace ${JSON.stringify(namespace)} validates asynchronously. Use a synchronous one.`,
  );
}

function issuesIn({ issues }: StandardSchemaV1.Result<unknown>): string[] | undefined {
  return issues?.map((issue) => {
    const path = issue.path?.map((step) => String(typeof step === 'object' ? step.key : step)).join('.');
    return path ? `${path}: ${issue.message}` : issue.message;
  });
}
