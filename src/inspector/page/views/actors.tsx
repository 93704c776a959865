import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Actor, ActorList } from '../../protocol.ts';
import { get } from '../api.ts';
import { count, short } from '../format.ts';
import { epoch } from '../live.ts';
import { usePages } from '../pages.ts';
import { route, setParams } from '../router.ts';
import { useEvery, useSettled } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Failed, Loading, Search } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { ActorDetail } from './actor-detail.tsx';
import { nameOf, STATUS_TONE } from './actor-names.ts';
import { type ActorTreeRow, ActorTreeStore } from './actor-tree-store.ts';
import { ForeignActors } from './foreign.tsx';

type Status = Actor['status'];
type Sort = 'name' | 'load' | 'keys' | 'bytes' | 'restarts';
type NamespacePage = ActorList['namespaces'] & { readonly list: ActorList };

const STATUSES: readonly Status[] = ['resident', 'passivated', 'restarting', 'failed'];
const SORTS: readonly Sort[] = ['name', 'load', 'keys', 'bytes', 'restarts'];
/** Rows of a page. */
const PAGE = 250;
/** Milliseconds between two refreshes, while no more than the first page is loaded. */
const REFRESH_MS = 3_000;

/** Choices for the list. Sorted by name, without a search and a status, it is a tree. */
interface Wanted {
  readonly q: string;
  readonly status: Status | '';
  readonly sort: Sort;
}

export function ActorsView(): JSX.Element {
  const { params } = route.value;
  const [text, setText] = useState(params.q ?? '');
  const q = useSettled(text);
  const [status, setStatus] = useState<Status | ''>('');
  const [sort, setSort] = useState<Sort>('name');
  const pages = usePages<Actor, NamespacePage>(
    async (after, signal) => {
      const list = await get('GET /api/actors', { q, status, sort, after, limit: PAGE }, signal);
      return { ...list.namespaces, list };
    },
    [q, status, sort],
  );
  const { items, last, reload } = pages;
  const refresh = useMemo(() => () => items.length <= PAGE && reload(), [items.length <= PAGE]);
  useEvery(REFRESH_MS, refresh);
  const id = params.id ?? 'supervisor';
  return (
    <div class="view fill">
      <header class="view-head">
        <h1>Actors</h1>
        {last && <Statuses of={last.byStatus} chosen={status} onChoose={setStatus} />}
      </header>
      <div class="split actors">
        <section class="card fill" aria-label="All actors">
          <div class="tools">
            <Search label="Find an actor" value={text} onInput={setText} />
            <div class="row">
              <Choice label="Status" value={status} options={['', ...STATUSES]} onChange={(to) => setStatus(to)} />
              <Choice label="Sorted by" value={sort} options={SORTS} onChange={(to) => setSort(to)} />
            </div>
          </div>
          <ActorTree pages={pages} wanted={{ q, status, sort }} selected={id} />
        </section>
        <div class="stack">
          <ActorDetail key={id} id={id} />
          <ForeignActors />
        </div>
      </div>
    </div>
  );
}

interface StatusesProps {
  readonly of: NamespacePage['byStatus'];
  readonly chosen: Status | '';
  readonly onChoose: (status: Status | '') => void;
}

/** Namespaces by status; a click lists those of one. */
function Statuses({ of, chosen, onChoose }: StatusesProps): JSX.Element {
  return (
    <div class="row wrap">
      <span class="muted small-text">Namespaces</span>
      {STATUSES.filter((status) => of[status] > 0).map((status) => (
        <button
          type="button"
          key={status}
          class="bare-badge"
          aria-pressed={chosen === status}
          onClick={() => onChoose(chosen === status ? '' : status)}
        >
          <Badge tone={STATUS_TONE[status]}>
            {count(of[status])} {status}
          </Badge>
        </button>
      ))}
    </div>
  );
}

interface ChoiceProps<Value extends string> {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly Value[];
  readonly onChange: (value: Value) => void;
}

function Choice<Value extends string>({ label, value, options, onChange }: ChoiceProps<Value>): JSX.Element {
  return (
    <label class="field grow">
      <span>{label}</span>
      <select class="input" value={value} onChange={(event) => onChange(event.currentTarget.value as Value)}>
        {options.map((option) => (
          <option key={option} value={option}>
            {option === '' ? 'any' : option}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A line of the list: an actor, a group of namespaces, or the title of a part. */
type Row =
  | ActorTreeRow
  | { readonly kind: 'title'; readonly depth: number; readonly label: string; readonly count: number };

interface TreeProps {
  readonly pages: ReturnType<typeof usePages<Actor, NamespacePage>>;
  readonly wanted: Wanted;
  readonly selected: string;
}

function ActorTree({ pages, wanted, selected }: TreeProps): JSX.Element {
  const { items, last, error, hasMore, more, reload } = pages;
  const { q, status, sort } = wanted;
  const isTree = q === '' && status === '' && sort === 'name';
  const store = useTree(isTree, selected);
  const tree = isTree ? store.rows.value : undefined;
  const rows = useMemo(
    () => (last === undefined ? [] : rowsOf(last, isTree ? tree : items, q)),
    [last, items, q, isTree, tree],
  );
  const failed = error?.message ?? (isTree ? store.error.value : undefined);
  if (last === undefined) return failed ? <Failed message={failed} retry={reload} /> : <Loading what="Loading" />;
  const open = (index: number) => {
    const row = rows[index];
    if (row?.kind === 'actor') setParams({ id: row.actor.id });
    else if (row?.kind === 'group') store.toggle(row.prefix);
    else if (row?.kind === 'more') void store.more(row.prefix);
  };
  const onKey = (event: KeyboardEvent, index: number): boolean => {
    const row = rows[index];
    const wantsOpen = event.key === 'ArrowRight' ? true : event.key === 'ArrowLeft' ? false : undefined;
    if (row?.kind !== 'group' || wantsOpen === undefined || row.open === wantsOpen) return false;
    store.toggle(row.prefix);
    return true;
  };
  const fetchMore = (first: number, end: number) => {
    if (!isTree) hasMore && end >= rows.length - 20 && more();
    else for (const row of rows.slice(first, end)) if (row.kind === 'more') void store.more(row.prefix);
  };
  return (
    <VirtualList
      label="Actors"
      role="tree"
      count={rows.length}
      rowHeight={32}
      selected={rows.findIndex((row) => row.kind === 'actor' && row.actor.id === selected)}
      keyOf={(index) => keyOf(rows[index], index)}
      onSelect={open}
      onKey={onKey}
      onSight={fetchMore}
      rowAttributes={(index) => attributesOf(rows[index])}
      row={(index) => <ActorRow row={rows[index]} />}
    />
  );
}

function useTree(isTree: boolean, selected: string): ActorTreeStore {
  const [store] = useState(() => new ActorTreeStore(selected));
  const [refresh] = useState(() => () => void store.refresh());
  const connection = epoch.value;
  useEffect(() => {
    if (connection > 0 && isTree) refresh();
  }, [connection, isTree]);
  const idle = useMemo(() => () => {}, []);
  useEvery(REFRESH_MS, isTree ? refresh : idle);
  useEffect(() => () => store.close(), [store]);
  return store;
}

function keyOf(row: Row | undefined, index: number): string | number {
  if (row === undefined) return index;
  if (row.kind === 'actor') return row.actor.id;
  return row.kind === 'title' ? `title ${row.label}` : `${row.kind} ${row.prefix}`;
}

function attributesOf(row: Row | undefined): { 'aria-level': number; 'aria-expanded'?: boolean } {
  const level = { 'aria-level': (row?.depth ?? 0) + 1 };
  return row?.kind === 'group' ? { ...level, 'aria-expanded': row.open } : level;
}

function rowsOf(
  { list, total }: NamespacePage,
  below: readonly ActorTreeRow[] | readonly Actor[] | undefined,
  q: string,
): Row[] {
  const matches = (id: string) => id.toLowerCase().includes(q.toLowerCase());
  const followers = list.followers.filter(({ id }) => matches(id));
  const row = (actor: Actor, depth: number): Row => ({ kind: 'actor', depth, actor, label: nameOf(actor.id) });
  return [
    row(list.supervisor, 0),
    { kind: 'title', depth: 1, label: 'Followers', count: followers.length },
    ...followers.map((actor) => row(actor, 2)),
    { kind: 'title', depth: 1, label: 'Namespaces', count: total },
    ...(below ?? []).map((each): Row => ('id' in each ? row(each, 2) : { ...each, depth: each.depth + 2 })),
  ];
}

function ActorRow({ row }: { readonly row: Row | undefined }): JSX.Element | null {
  if (row === undefined) return null;
  const indent = { paddingLeft: `${row.depth * 12}px` };
  if (row.kind === 'more') {
    return (
      <span class="muted" style={indent}>
        …
      </span>
    );
  }
  if (row.kind === 'title') {
    return (
      <span class="row grow muted group-title" style={indent}>
        {row.label} <span class="num">{count(row.count)}</span>
      </span>
    );
  }
  if (row.kind === 'group') {
    return (
      <>
        <span class="row grow" style={indent}>
          <span class={row.open ? 'twist open' : 'twist'}>
            <Icon name="next" size={14} />
          </span>
          <span class="ellipsis soft" title={row.prefix}>
            {row.label}
          </span>
        </span>
        <span class="muted num small-text" title="namespaces below">
          {count(row.count)}
        </span>
      </>
    );
  }
  const { actor } = row;
  return (
    <>
      <span class="row grow" style={indent}>
        <span class={`dot ${STATUS_TONE[actor.status] ?? ''}`} title={actor.status} />
        <span class="ellipsis" title={nameOf(actor.id)}>
          {row.label}
        </span>
      </span>
      {actor.restarts > 0 && <Badge tone="warn">{actor.restarts}×</Badge>}
      {(actor.status === 'restarting' || actor.status === 'failed') && (
        <span class="muted small-text">{actor.status}</span>
      )}
      <Load of={actor} />
    </>
  );
}

function Load({ of }: { readonly of: Actor }): JSX.Element {
  if (of.load !== null && of.load > 0) return <span class="num small-text soft">{short(of.load)}/s</span>;
  const keys = of.namespace?.keys;
  return (
    <span class="num small-text muted">{keys == null ? '' : `${short(keys)} ${keys === 1 ? 'key' : 'keys'}`}</span>
  );
}
