import type { JSX } from 'preact';
import type { UpdateRow } from '../../data-protocol.ts';
import { count, keysText, keyText, preciseTime } from '../format.ts';
import { previewText } from '../ui/json-text.ts';
import { Op } from '../ui/parts.tsx';

/** Names of the columns of {@link UpdateLine}. */
export function UpdateHead(): JSX.Element {
  return (
    <div class="update-head" aria-hidden="true">
      <div class="update-line">
        <span class="u-at">Time</span>
        <span class="u-position">Position</span>
        <span class="u-op">Change</span>
        <span class="u-namespace">Namespace</span>
        <span class="u-key">Key</span>
        <span class="u-value">Value</span>
        <span class="u-agent">Agent</span>
      </div>
    </div>
  );
}

/** An update in one line, or in two on a narrow page. */
export function UpdateLine({ row }: { readonly row: UpdateRow }): JSX.Element {
  return (
    <div class="update-line">
      <span class="u-at mono muted">{preciseTime(row.at)}</span>
      <span class="u-position num muted">{count(row.position)}</span>
      <span class="u-op">
        <Op of={row.operation} />
      </span>
      <span class="u-namespace ellipsis muted" title={row.namespace}>
        {row.namespace}
      </span>
      <span class="u-key ellipsis" title={row.key ?? ''}>
        {row.key === null ? <span class="muted">{keysText(row)}</span> : keyText(row.key)}
      </span>
      <span class="u-value ellipsis mono soft">{shownValue(row)}</span>
      <span class="u-agent ellipsis muted" title={row.agent ?? ''}>
        {row.agent ?? ''}
      </span>
    </div>
  );
}

function shownValue({ preview, drop, operation }: UpdateRow): string {
  if (preview !== null) return previewText(preview);
  if (drop) return 'the namespace was dropped';
  return operation === 'clear_namespace' ? 'every key was removed' : '';
}
