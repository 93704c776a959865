import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { DiffItem, DiffPage, UpdateFilter } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, keyText } from '../format.ts';
import { usePages } from '../pages.ts';
import { Difference } from '../ui/difference.tsx';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Empty, Failed, Loading, Op } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { NO_AGENT } from './agents-card.tsx';
import { isFiltered } from './time-filter.tsx';

const PAGE = 100;

interface ComparisonProps {
  readonly a: number;
  readonly b: number;
  readonly filter: UpdateFilter;
}

/** The differences between two positions, from the earlier to the later. */
export function Comparison({ a, b, filter }: ComparisonProps): JSX.Element {
  const { namespace, agent } = filter;
  const [from, to] = a < b ? [a, b] : [b, a];
  const pages = usePages<DiffItem, DiffPage>(
    (after, signal) => get('GET /api/diff', { a: from, b: to, namespace, agent, after, limit: PAGE }, signal),
    [from, to, namespace, agent],
  );
  const { last, error, items, reload, hasMore, more } = pages;
  const [chosen, choose] = useState(0);
  const item = items[Math.min(chosen, items.length - 1)];
  return (
    <>
      <div class="row wrap">
        <h2>
          From position {count(from)} to {count(to)}
        </h2>
        {last && (
          <>
            <Badge tone="ok">{count(last.added)} added</Badge>
            <Badge tone="accent">{count(last.changed)} changed</Badge>
            <Badge tone="bad">{count(last.removed)} removed</Badge>
          </>
        )}
      </div>
      <div class="split time-data">
        <section class="card fill" aria-label="Differences">
          {last === undefined &&
            (error ? <Failed message={error.message} retry={reload} /> : <Loading what="Comparing" />)}
          {last && items.length === 0 && (
            <Empty title="No differences" icon="check">
              {isFiltered(filter) ? 'No entry that matches the filter has changed.' : 'Every entry is the same.'}
            </Empty>
          )}
          {items.length > 0 && (
            <VirtualList
              label="Differences"
              count={items.length}
              rowHeight={46}
              selected={Math.min(chosen, items.length - 1)}
              onSelect={choose}
              onSight={(_, end) => hasMore && end >= items.length - 20 && more()}
              row={(index) => items[index] && <DiffRow item={items[index]} />}
            />
          )}
        </section>
        {item ? <DiffCard item={item} /> : <section class="card" />}
      </div>
    </>
  );
}

function DiffRow({ item }: { readonly item: DiffItem }): JSX.Element {
  return (
    <>
      <span class="diff-kind">
        <Op of={item.change} />
      </span>
      <span class="two-lines grow">
        <span class="ellipsis">{keyText(item.key)}</span>
        <span class="ellipsis muted small-text" title={item.namespace}>
          {item.namespace}
        </span>
      </span>
    </>
  );
}

function DiffCard({ item: { namespace, key, change, before, after } }: { readonly item: DiffItem }): JSX.Element {
  return (
    <Card
      fill
      title={
        <>
          <span class="muted">{namespace}</span> {keyText(key)}
        </>
      }
      side={<Op of={change} />}
    >
      <div class="stack">
        <p class="row wrap muted small-text">
          <span>{before ? `version ${count(before.version)}, ${before.agent ?? NO_AGENT}` : 'nothing'}</span>
          <Icon name="next" size={14} />
          <span>{after ? `version ${count(after.version)}, ${after.agent ?? NO_AGENT}` : 'nothing'}</span>
        </p>
        <Difference before={before?.value} after={after?.value} />
      </div>
    </Card>
  );
}
