import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ContextCacheError } from './errors.ts';

/**
 * What the values of a namespace must look like: one schema for each of them, or one a key (then other keys are
 * refused). Any library that speaks Standard Schema (https://standardschema.dev) will do; schemas that answer
 * asynchronously will not, because a write is visible at once.
 */
export type NamespaceSchema = StandardSchemaV1 | { readonly [key: string]: StandardSchemaV1 };

/** Schemas by namespace; a namespace that is not named takes any JSON value. */
export type NamespaceSchemas = { readonly [namespace: string]: NamespaceSchema };

/** Gives the value as the schema's output has it; the value itself where no schema is set. */
export type ValueCheck = (namespace: string, key: string, value: unknown) => unknown;

/**
 * Makes the check at the door.
 *
 * @throws {ContextCacheError} `SCHEMA_MISMATCH` by the check, with what the schema found.
 */
export function createValueCheck(schemas: NamespaceSchemas | undefined): ValueCheck {
  if (schemas === undefined) return (_namespace, _key, value) => value;
  const byNamespace = new Map(Object.entries(schemas));
  return (namespace, key, value) => {
    const found = byNamespace.get(namespace);
    if (found === undefined) return value;
    if (isSchema(found)) return validate(found, namespace, key, value);
    if (Object.hasOwn(found, key)) return validate(found[key] as StandardSchemaV1, namespace, key, value);
    throw new ContextCacheError(
      'SCHEMA_MISMATCH',
      `The schemas of namespace ${JSON.stringify(namespace)} name no key ${JSON.stringify(key)}. Add one, or use another key.`,
    );
  };
}

function isSchema(candidate: NamespaceSchema): candidate is StandardSchemaV1 {
  return '~standard' in candidate;
}

function validate(schema: StandardSchemaV1, namespace: string, key: string, value: unknown): unknown {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    // Nobody will look at what it comes to.
    result.catch(() => {});
    throw new ContextCacheError(
      'INVALID_OPTION',
      `The schema of namespace ${JSON.stringify(namespace)} answers asynchronously. Use a synchronous one.`,
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
