import type { JSX } from 'preact';
import type { UpdateRow } from '../../data-protocol.ts';
import { count, preciseTime } from '../format.ts';
import { Op } from '../ui/parts.tsx';

/** An update in one line; in two where the page is narrow. */
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
        {row.key ?? <span class="muted">all keys</span>}
      </span>
      <span class="u-value ellipsis mono soft">{shownValue(row)}</span>
      <span class="u-agent ellipsis muted">{row.agent ?? ''}</span>
    </div>
  );
}

function shownValue({ preview, drop, operation }: UpdateRow): string {
  if (preview !== null) return preview.cut ? `${preview.text}…` : preview.text;
  if (drop) return 'the namespace was dropped';
  return operation === 'clear_namespace' ? 'every key was removed' : '';
}
