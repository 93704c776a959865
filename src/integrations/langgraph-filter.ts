import { toJsonValue } from '../index.ts';
import type { Comparison, Where } from '../types.ts';

/** A comparison that no value meets. */
const NEVER = null;
/** A comparison that every value meets. */
const ALWAYS: Comparison = {};

/**
 * The comparisons of LangGraph's filters as those of a search. `InMemoryStore` compares with `===`, so an object is never equal, and
 * in order as numbers.
 */
const COMPARISONS: { readonly [operator: string]: (wanted: unknown) => Comparison | typeof NEVER } = {
  $eq: (wanted) => {
    if (wanted === undefined) return { exists: false };
    return isPlain(wanted) ? { eq: toJsonValue(wanted) } : NEVER;
  },
  $ne: (wanted) => {
    if (wanted === undefined) return { exists: true };
    return isPlain(wanted) ? { ne: toJsonValue(wanted) } : ALWAYS;
  },
  $gt: (wanted) => inOrder('gt', wanted),
  $gte: (wanted) => inOrder('gte', wanted),
  $lt: (wanted) => inOrder('lt', wanted),
  $lte: (wanted) => inOrder('lte', wanted),
  $in: (wanted) => (Array.isArray(wanted) ? { in: wanted.filter(isPlain).map(toJsonValue) } : NEVER),
  $nin: (wanted) => (Array.isArray(wanted) ? { nin: wanted.filter(isPlain).map(toJsonValue) } : ALWAYS),
};

/** Returns a filter of LangGraph as that of a search; `undefined` if nothing can match. */
export function whereOf(filter: Readonly<Record<string, unknown>>): Where | undefined {
  const conditions = Object.entries(filter).map(([field, condition]) => {
    const compared = Object.entries(operatorsIn(condition)).map(([operator, wanted]) =>
      Object.hasOwn(COMPARISONS, operator) ? COMPARISONS[operator]?.(wanted) : NEVER,
    );
    const comparison = compared.includes(NEVER) ? NEVER : (Object.assign({}, ...compared) as Comparison);
    return [`/${field.replaceAll('~', '~0').replaceAll('/', '~1')}`, comparison] as const;
  });
  return conditions.some(([, comparison]) => comparison === NEVER)
    ? undefined
    : (Object.fromEntries(conditions) as Where);
}

function operatorsIn(condition: unknown): object {
  return typeof condition === 'object' && condition !== null ? condition : { $eq: condition };
}

function inOrder(name: 'gt' | 'gte' | 'lt' | 'lte', wanted: unknown): Comparison | typeof NEVER {
  const number = Number(wanted);
  return Number.isNaN(number) ? NEVER : { [name]: number };
}

/** Returns whether a value may be equal to a stored one: text, a number, a boolean or `null`. */
function isPlain(value: unknown): value is string | number | boolean | null {
  return value === null || Number.isFinite(value) || typeof value === 'string' || typeof value === 'boolean';
}
