import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ContextCacheError } from './errors.ts';

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
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    // Its outcome is not used; a rejection must not become an unhandled one.
    result.catch(() => {});
    throw new ContextCacheError(
      'INVALID_OPTION',
      `The schema of namespace ${JSON.stringify(namespace)} validates asynchronously. Use a synchronous one.`,
    );
  }
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue) => {
    const path = issue.path?.map((step) => String(typeof step === 'object' ? step.key : step)).join('.');
    return path ? `${path}: ${issue.message}` : issue.message;
  });
  throw new ContextCacheError(
    'SCHEMA_MISMATCH',
    `The value for key ${JSON.stringify(key)} does not fit the schema of namespace ${JSON.stringify(namespace)}: ${issues.join('; ')}.`,
  );
}
