import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Actor, ActorList } from '../../protocol.ts';
import { get } from '../api.ts';
import { count, short } from '../format.ts';
import { usePages } from '../pages.ts';
import { route, setParams } from '../router.ts';
import { useEvery, useSettled } from '../ui/hooks.ts';
import { Badge, Failed, Loading, Search } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { ActorDetail } from './actor-detail.tsx';
import { nameOf, STATUS_TONE } from './actor-names.ts';
import { ForeignActors } from './foreign.tsx';

type Status = Actor['status'];
type Sort = 'name' | 'load' | 'keys' | 'bytes' | 'restarts';
type NamespacePage = ActorList['namespaces'] & { readonly list: ActorList };

const STATUSES: readonly Status[] = ['resident', 'passivated', 'restarting', 'failed'];
const SORTS: readonly Sort[] = ['name', 'load', 'keys', 'bytes', 'restarts'];
/** Rows asked for at a time. */
const PAGE = 250;
/** The list is asked for again so often, while only its beginning has been fetched. */
const REFRESH_MS = 3_000;

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
        {last && <Statuses of={last.byStatus} />}
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
          <ActorTree pages={pages} q={q} selected={id} />
        </section>
        <div class="stack">
          <ActorDetail key={id} id={id} />
          <ForeignActors />
        </div>
      </div>
    </div>
  );
}

function Statuses({ of }: { readonly of: NamespacePage['byStatus'] }): JSX.Element {
  return (
    <div class="row wrap">
      {STATUSES.filter((status) => of[status] > 0).map((status) => (
        <Badge key={status} tone={STATUS_TONE[status]}>
          {count(of[status])} {status}
        </Badge>
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

/** A line of the tree: an actor, or the title of those that follow. */
type Row =
  | { readonly kind: 'actor'; readonly depth: number; readonly actor: Actor; readonly name: string }
  | { readonly kind: 'group'; readonly depth: number; readonly name: string; readonly count: number };

interface TreeProps {
  readonly pages: ReturnType<typeof usePages<Actor, NamespacePage>>;
  readonly q: string;
  readonly selected: string;
}

function ActorTree({ pages: { items, last, error, hasMore, more, reload }, q, selected }: TreeProps): JSX.Element {
  const rows = useMemo(() => (last === undefined ? [] : rowsOf(last, items, q)), [last, items, q]);
  if (last === undefined) return error ? <Failed message={error.message} retry={reload} /> : <Loading what="Asking" />;
  const at = rows.findIndex((row) => row.kind === 'actor' && row.actor.id === selected);
  return (
    <VirtualList
      label="Actors"
      role="tree"
      count={rows.length}
      rowHeight={34}
      selected={at}
      onSelect={(index) => {
        const row = rows[index];
        if (row?.kind === 'actor') setParams({ id: row.actor.id });
      }}
      onSight={(_, end) => hasMore && end >= rows.length - 20 && more()}
      rowAttributes={(index) => ({ 'aria-level': (rows[index]?.depth ?? 0) + 1 })}
      row={(index) => <ActorRow row={rows[index]} />}
    />
  );
}

function rowsOf({ list, total }: NamespacePage, namespaces: readonly Actor[], q: string): Row[] {
  const matches = (id: string) => id.toLowerCase().includes(q.toLowerCase());
  const followers = list.followers.filter(({ id }) => matches(id));
  const row = (actor: Actor, depth: number): Row => ({ kind: 'actor', depth, actor, name: nameOf(actor.id) });
  return [
    row(list.supervisor, 0),
    { kind: 'group', depth: 1, name: 'Followers', count: followers.length },
    ...followers.map((actor) => row(actor, 2)),
    { kind: 'group', depth: 1, name: 'Namespaces', count: total },
    ...namespaces.map((actor) => row(actor, 2)),
  ];
}

function ActorRow({ row }: { readonly row: Row | undefined }): JSX.Element | null {
  if (row === undefined) return null;
  const indent = { paddingLeft: `${row.depth * 14}px` };
  if (row.kind === 'group') {
    return (
      <span class="row grow muted group-title" style={indent}>
        {row.name} <span class="num">{count(row.count)}</span>
      </span>
    );
  }
  const { actor } = row;
  return (
    <>
      <span class="row grow" style={indent}>
        <span class={`dot ${STATUS_TONE[actor.status] ?? ''}`} title={actor.status} />
        <span class="ellipsis">{row.name}</span>
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
