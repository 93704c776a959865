import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import type { SearchHit, SearchPage } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, keyText, plural } from '../format.ts';
import { usePages } from '../pages.ts';
import { previewText } from '../ui/json-text.ts';
import { Badge, Empty, Failed, Loading } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';

const PAGE = 100;

interface SearchProps {
  readonly q: string;
  readonly at: number | undefined;
  readonly namespace: string | undefined;
  readonly entryKey: string | undefined;
  readonly onSelect: (namespace: string, key: string | undefined) => void;
}

/** Namespaces, keys and values that contain a text. Loads page after page until the list is full or all is searched. */
export function DataSearch({ q, at, namespace, entryKey, onSelect }: SearchProps): JSX.Element {
  const { items, last, error, hasMore, loading, more, reload } = usePages<SearchHit, SearchPage>(
    (after, signal) => get('GET /api/search', { q, at, after, limit: PAGE }, signal),
    [q, at],
  );
  // A page may be empty although later ones are not: each reads a limited number of keys.
  useEffect(() => {
    if (hasMore && !loading && items.length < PAGE) more();
  });
  if (error !== undefined) return <Failed message={error.message} retry={reload} />;
  if (items.length === 0 && (last === undefined || hasMore)) return <Loading what="Searching" />;
  if (items.length === 0) {
    return (
      <Empty title={`Nothing contains “${q}”`} icon="search">
        Names of namespaces, keys and values were searched.
      </Empty>
    );
  }
  return (
    <>
      <p class="found muted small-text" role="status">
        {hasMore ? `${count(items.length)} or more hits` : plural(items.length, 'hit')}
      </p>
      <VirtualList
        label="Search results"
        count={items.length}
        rowHeight={50}
        selected={items.findIndex((hit) => hit.namespace === namespace && (hit.key ?? undefined) === entryKey)}
        keyOf={(index) => `${items[index]?.namespace}\n${items[index]?.key}`}
        onSelect={(index) => {
          const hit = items[index];
          if (hit !== undefined) onSelect(hit.namespace, hit.key ?? undefined);
        }}
        onSight={(_, end) => hasMore && end >= items.length - 20 && more()}
        row={(index) => items[index] && <Hit hit={items[index]} q={q} />}
      />
    </>
  );
}

function Hit({
  hit: { namespace, key, found, preview },
  q,
}: {
  readonly hit: SearchHit;
  readonly q: string;
}): JSX.Element {
  return (
    <>
      <span class="two-lines grow">
        <span class="ellipsis">
          <span class={key === null ? '' : 'muted'}>{marked(namespace, found === 'namespace' ? q : '')}</span>{' '}
          {key !== null && marked(keyText(key), found === 'key' ? q : '')}
        </span>
        {preview !== null && (
          <span class="ellipsis mono muted tree-preview">
            {marked(previewText(preview), found === 'value' ? q : '')}
          </span>
        )}
      </span>
      <Badge>{found}</Badge>
    </>
  );
}

/** The text with the first match of `q` highlighted. */
function marked(text: string, q: string): JSX.Element {
  const at = q === '' ? -1 : text.toLowerCase().indexOf(q.toLowerCase());
  if (at < 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + q.length)}</mark>
      {text.slice(at + q.length)}
    </>
  );
}
