import { invalidCommand as invalid } from './invalid-command.ts';
import { nearest } from './nearest.ts';

/** The required and the optional fields of a command or a step. The compiler checks the list against the type. */
export type FieldsOf<Command, Discriminator extends PropertyKey> = {
  readonly [Name in Exclude<keyof Command, Discriminator>]-?: object extends Pick<Command, Name> ? 'may' : 'must';
};

/** The same fields, as sets for look-ups. */
export interface Fields {
  readonly must: readonly string[];
  /** These, and those it may have. */
  readonly known: ReadonlySet<string>;
}

/** Converts a table of fields for look-ups. */
export function lookUp(table: {
  readonly [name: string]: { readonly [field: string]: 'must' | 'may' };
}): Map<string, Fields> {
  return new Map(
    Object.entries(table).map(([name, fields]) => {
      const known = Object.keys(fields);
      return [name, { must: known.filter((field) => fields[field] === 'must'), known: new Set(known) }];
    }),
  );
}

/**
 * Checks that a value from outside is an object of a known kind that has the fields that it needs, and no others.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function checkFields(
  candidate: unknown,
  what: string,
  known: ReadonlyMap<string, Fields>,
  discriminator: 'type' | 'operation',
): void {
  if (typeof candidate !== 'object' || candidate === null || Array.isArray(candidate)) {
    throw invalid(`${what} must be an object with a ${discriminator}`);
  }
  const record = candidate as Record<string, unknown>;
  const name = Object.hasOwn(record, discriminator) ? record[discriminator] : undefined;
  const fields = typeof name === 'string' ? known.get(name) : undefined;
  if (fields === undefined) throw invalid(unknownKind(what, name, known, discriminator));
  for (const field of fields.must)
    if (!Object.hasOwn(record, field) || record[field] === undefined)
      throw invalid(`${what} ${String(name)} needs ${field}`);
  for (const field in record) {
    if (!fields.known.has(field) && field !== discriminator && Object.hasOwn(record, field)) {
      const near = nearest(field, [...fields.known]);
      const remedy =
        near === undefined ? `It takes ${[...fields.known].join(', ') || 'none'}` : `Did you mean ${near}?`;
      throw invalid(`${what} ${String(name)} has no field ${JSON.stringify(field).slice(0, 60)}. ${remedy}`);
    }
  }
}

function unknownKind(what: string, name: unknown, known: ReadonlyMap<string, Fields>, discriminator: string): string {
  const given = typeof name === 'string' ? JSON.stringify(name.slice(0, 60)) : typeof name;
  const near = typeof name === 'string' ? nearest(name, [...known.keys()]) : undefined;
  const remedy = near === undefined ? `; known are ${[...known.keys()].join(', ')}` : `. Did you mean ${near}?`;
  return `${what} has no known ${discriminator}: ${given}${remedy}`;
}
