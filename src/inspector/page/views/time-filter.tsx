import type { JSX } from 'preact';
import type { UpdateFilter } from '../../data-protocol.ts';
import { setParams } from '../router.ts';

type Params = Readonly<Record<string, string>>;

/** Returns the filter of the time view: `only` (namespace) and `agent` in the address. */
export function timeFilterOf({ only, agent }: Params): UpdateFilter {
  return { ...(only ? { namespace: only } : {}), ...(agent ? { agent } : {}) };
}

export const isFiltered = ({ namespace, agent }: UpdateFilter): boolean =>
  namespace !== undefined || agent !== undefined;

const FIELDS = [
  ['only', 'Namespace', 'trip:*'],
  ['agent', 'Agent', 'planner'],
] as const;

/** Fields that limit the updates, the steps between them and a comparison. */
export function TimeFilter({ params }: { readonly params: Params }): JSX.Element {
  const isOn = isFiltered(timeFilterOf(params));
  return (
    <search class="time-filter">
      {FIELDS.map(([name, label, placeholder]) => (
        <label class="row" key={name}>
          <span class="muted">{label}</span>
          <input
            class="input mono"
            placeholder={placeholder}
            spellcheck={false}
            value={params[name] ?? ''}
            onInput={(event) => setParams({ [name]: event.currentTarget.value })}
          />
        </label>
      ))}
      {isOn && (
        <button type="button" class="button small" onClick={() => setParams({ only: undefined, agent: undefined })}>
          Clear the filter
        </button>
      )}
    </search>
  );
}
