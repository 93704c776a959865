import type { Operation } from '../../../core/update.ts';
import type { UpdateFilter } from '../../data-protocol.ts';

export const OPERATIONS: readonly Operation[] = [
  ...(['set', 'delete', 'clear_namespace', 'clear'] as const),
  ...(['expire', 'touch', 'evict'] as const),
];

/** Fields of a filter: parameter of the address, label, example. All but the value are patterns. */
export const FILTER_FIELDS = [
  ['ns', 'Namespace', 'trip:*'],
  ['key', 'Key', 'message/*'],
  ['agent', 'Agent', 'planner'],
  ['value', 'Value contains', 'flight'],
] as const;

/** Returns the filter in the address. */
export function filterOf(params: Readonly<Record<string, string>>): UpdateFilter {
  const named = new Set(params.op?.split(',') ?? []);
  const operation = OPERATIONS.filter((each) => named.has(each));
  return {
    ...(operation.length === 0 ? {} : { operation }),
    ...(params.ns ? { namespace: params.ns } : {}),
    ...(params.key ? { key: params.key } : {}),
    ...(params.agent ? { agent: params.agent } : {}),
    ...(params.value ? { value: params.value } : {}),
  };
}
