import type { ContextCommand } from '../core/command.ts';
import { type ContradictionsOptions, plainContradictions } from '../core/contradiction.ts';
import { RETRACT_OPTIONS, type RetractOptions } from '../core/retract-options.ts';
import {
  IMPACT_OPTIONS,
  type ImpactOptions,
  PROVENANCE_OPTIONS,
  type ProvenanceOptions,
  type WriteTarget,
} from '../core/trace.ts';

type CommandOf<Type> = Extract<ContextCommand, { readonly type: Type }>;

/** Returns the command of `provenance`, with its options checked. */
export function commandOfProvenance(
  key: string,
  namespace: string,
  options: ProvenanceOptions | undefined,
): CommandOf<'context.provenance'> {
  return { ...PROVENANCE_OPTIONS.checked(options), type: 'context.provenance', key, namespace };
}

/** Returns the command of `impact`, with its options checked. */
export function commandOfImpact(target: WriteTarget, options: ImpactOptions | undefined): CommandOf<'context.impact'> {
  const given = { ...IMPACT_OPTIONS.checked(options), type: 'context.impact' } as const;
  if (typeof target !== 'object' || target === null) return { ...given, position: target };
  return { ...given, key: target.key, namespace: target.namespace };
}

/** Returns the command of `contradictions`, with its options checked and the parts of a namespace joined. */
export function commandOfContradictions(
  options: ContradictionsOptions | undefined,
): CommandOf<'context.contradictions'> {
  return { ...plainContradictions(options), type: 'context.contradictions' };
}

/** Returns the command of `retract`, with the names of its options checked. `agent` is that of the handle or the context. */
export function commandOfRetract(
  position: number,
  options: RetractOptions | undefined,
  agent: string | undefined,
): CommandOf<'context.retract'> {
  return { agent, ...RETRACT_OPTIONS.checked(options), type: 'context.retract', position };
}
