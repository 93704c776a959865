import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { clock } from '../clock.ts';
import { count, keyText, plural, short } from '../format.ts';
import { epoch, subscribe } from '../live.ts';
import { useSettled } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { previewText } from '../ui/json-text.ts';
import { Empty, Loading, Search } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { DataSearch } from './data-search.tsx';
import { type Branch, DataTreeStore, type TreeRow } from './data-tree-store.ts';

/** Milliseconds between two refreshes of the open branches. */
const REFRESH_MS = 2_000;

interface DataTreeProps {
  /** Position of the view. Default: the present, and the tree follows it. */
  readonly at?: number | undefined;
  readonly namespace: string | undefined;
  readonly entryKey: string | undefined;
  readonly onSelect: (namespace: string, key: string | undefined) => void;
}

/** Namespaces and their keys as a tree. */
export function DataTree({ at, namespace, entryKey, onSelect }: DataTreeProps): JSX.Element {
  const [text, setText] = useState('');
  const q = useSettled(text);
  const reveal = namespace === undefined ? undefined : { namespace, ...(entryKey !== undefined && { key: entryKey }) };
  const isSearch = q.trim() !== '';
  // The chosen key is revealed once, when the tree is created or left the search; then the user opens and closes.
  const store = useMemo(() => new DataTreeStore(at, reveal), [at, isSearch]);
  const connection = epoch.value;
  useEffect(() => () => store.close(), [store]);
  useEffect(() => {
    if (connection > 0) void store.begin();
  }, [store, connection]);
  useEffect(() => (at === undefined ? follow(store) : undefined), [store, at]);
  const rows = store.rows.value;
  const total = store.total.value;
  return (
    <section class="card fill data-tree" aria-label="Namespaces and keys">
      <div class="tools">
        <Search label="Search names and values" value={text} onInput={setText} />
        {!isSearch && total !== undefined && <span class="muted small-text">{plural(total, 'namespace')}</span>}
      </div>
      {isSearch && <DataSearch q={q.trim()} at={at} namespace={namespace} entryKey={entryKey} onSelect={onSelect} />}
      {!isSearch && rows === undefined && <Loading what="Loading" />}
      {!isSearch && rows?.length === 0 && (
        <Empty title="Nothing is stored" icon="data">
          A namespace appears here with its first write.
        </Empty>
      )}
      {!isSearch && rows !== undefined && rows.length > 0 && (
        <Rows rows={rows} store={store} namespace={namespace} entryKey={entryKey} onSelect={onSelect} />
      )}
    </section>
  );
}

/** Refreshes the tree after updates. The feed only brings counts. */
function follow(store: DataTreeStore): () => void {
  let wait: (() => void) | undefined;
  const lookLater = () => {
    wait ??= clock.after(REFRESH_MS, () => {
      wait = undefined;
      void store.refresh();
    });
  };
  store.onOvertaken = lookLater;
  const stop = subscribe({ feed: 'updates', limit: 1 }, ({ counts }) => {
    if (Object.keys(counts).length > 0) lookLater();
  });
  return () => {
    store.onOvertaken = () => {};
    stop();
    wait?.();
  };
}

interface RowsProps extends Omit<DataTreeProps, 'at'> {
  readonly rows: readonly TreeRow[];
  readonly store: DataTreeStore;
}

function Rows({ rows, store, namespace, entryKey, onSelect }: RowsProps): JSX.Element {
  const selected = rows.findIndex((row) =>
    row.kind === 'key'
      ? row.namespace === namespace && row.item.key === entryKey
      : row.kind === 'namespace' && entryKey === undefined && row.item.name === namespace,
  );
  const select = (row: TreeRow | undefined) => {
    if (row?.kind === 'key') onSelect(row.namespace, row.item.key);
    else if (row?.kind === 'more' || row?.kind === 'failed') void store.more(row.branch);
    else if (row?.kind === 'namespace') {
      store.toggle(row.branch);
      onSelect(row.item.name, undefined);
    } else if (row?.kind === 'group') store.toggle(row.branch);
  };
  const onKey = (event: KeyboardEvent, index: number): boolean => {
    const branch = branchOf(rows[index]);
    const wanted = event.key === 'ArrowRight' ? true : event.key === 'ArrowLeft' ? false : undefined;
    if (wanted === undefined || branch === undefined || store.isOpen(branch) === wanted) return false;
    store.toggle(branch);
    return true;
  };
  const fetchMore = (first: number, last: number) => {
    for (const row of rows.slice(first, last)) if (row.kind === 'more') void store.more(row.branch);
  };
  return (
    <VirtualList
      label="Namespaces and keys"
      role="tree"
      count={rows.length}
      rowHeight={30}
      selected={selected}
      keyOf={(index) => rows[index]?.id ?? index}
      onSelect={(index) => select(rows[index])}
      onKey={onKey}
      onSight={fetchMore}
      rowAttributes={(index) => attributesOf(rows[index])}
      row={(index) => <Row row={rows[index]} />}
    />
  );
}

const branchOf = (row: TreeRow | undefined): Branch | undefined =>
  row?.kind === 'group' || row?.kind === 'namespace' ? row.branch : undefined;

function attributesOf(row: TreeRow | undefined): { 'aria-level': number; 'aria-expanded'?: boolean } {
  const level = { 'aria-level': (row?.depth ?? 0) + 1 };
  return row?.kind === 'group' || row?.kind === 'namespace' ? { ...level, 'aria-expanded': row.open } : level;
}

function Row({ row }: { readonly row: TreeRow | undefined }): JSX.Element | null {
  if (row === undefined) return null;
  const indent = { paddingLeft: `${Math.min(row.depth, 8) * 14}px` };
  if (row.kind === 'key') {
    return (
      <span class="row grow" style={indent}>
        <span class="key-mark" />
        <span class="tree-key ellipsis">{row.item.key === '' ? keyText('') : row.label}</span>
        <span class="mono muted ellipsis tree-preview">{previewText(row.item.preview)}</span>
      </span>
    );
  }
  if (row.kind === 'group' || row.kind === 'namespace') {
    return (
      <>
        <span class="row grow" style={indent}>
          <Twist open={row.open} />
          <span class={row.kind === 'group' ? 'ellipsis soft' : 'ellipsis tree-namespace'}>{row.label}</span>
        </span>
        <span class="muted num small-text" title={row.kind === 'group' ? 'names below' : 'keys'}>
          {row.kind === 'group'
            ? count(row.count)
            : row.item.keys !== null && `${short(row.item.keys)} ${row.item.keys === 1 ? 'key' : 'keys'}`}
        </span>
      </>
    );
  }
  return (
    <span class={row.kind === 'failed' ? 'error-text ellipsis' : 'muted'} style={indent}>
      {row.kind === 'failed' ? row.message : '…'}
    </span>
  );
}

function Twist({ open }: { readonly open: boolean }): JSX.Element {
  return (
    <span class={open ? 'twist open' : 'twist'}>
      <Icon name="next" size={14} />
    </span>
  );
}
