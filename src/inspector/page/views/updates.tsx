import type { JSX } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import type { UpdateFilter, UpdateRow } from '../../data-protocol.ts';
import { count, plural } from '../format.ts';
import { epoch, meta } from '../live.ts';
import { route, setParams } from '../router.ts';
import { useNarrow, useSettled } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Empty, Failed, Loading, Op, Segments } from '../ui/parts.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';
import { Sequence } from './sequence.tsx';
import { UpdateDetailCard } from './update-detail.tsx';
import { type FeedState, UpdateFeed } from './update-feed.ts';
import { FILTER_FIELDS, filterOf, OPERATIONS } from './update-filter.ts';
import { UpdateHead, UpdateLine } from './update-line.tsx';

export function UpdatesView(): JSX.Element {
  const { params } = route.value;
  const wanted = filterOf(params);
  const key = useSettled(JSON.stringify(wanted), 250);
  // Positions of another log have another meaning.
  const logId = meta.value?.logId;
  const feed = useMemo(() => new UpdateFeed(JSON.parse(key) as UpdateFilter), [key, logId]);
  const connection = epoch.value;
  useEffect(() => () => feed.close(), [feed]);
  useEffect(() => {
    if (connection > 0) void feed.begin();
  }, [feed, connection]);
  const state = feed.state.value;
  const chosen = params.pos === undefined ? undefined : Number(params.pos);
  const mode = params.mode === 'sequence' ? 'sequence' : 'list';
  const select = (row: UpdateRow) => setParams({ pos: row.position });
  return (
    <div class="view fill">
      <header class="view-head">
        <h1>Live updates</h1>
        <Segments
          label="Layout"
          value={mode}
          onChange={(value) => setParams({ mode: value === 'list' ? undefined : value })}
          options={[
            ['list', 'List'],
            ['sequence', 'Sequence'],
          ]}
        />
        <PauseButton feed={feed} state={state} />
      </header>
      <Filters params={params} />
      <Counts state={state} feed={feed} />
      <div class={chosen === undefined ? 'updates-body' : 'updates-body with-detail'}>
        <section class="card fill" aria-label="Updates, newest first">
          <Body state={state} feed={feed} mode={mode} chosen={chosen} onSelect={select} />
        </section>
        {chosen !== undefined && <UpdateDetailCard position={chosen} onClose={() => setParams({ pos: undefined })} />}
      </div>
    </div>
  );
}

interface FeedProps {
  readonly feed: UpdateFeed;
  readonly state: FeedState;
}

function PauseButton({ feed, state: { waiting } }: FeedProps): JSX.Element {
  const isPaused = waiting !== undefined;
  return (
    <button
      type="button"
      class={isPaused ? 'button primary' : 'button'}
      aria-pressed={isPaused}
      onClick={() => (isPaused ? void feed.resume() : feed.pause())}
    >
      <Icon name={isPaused ? 'play' : 'pause'} size={16} />
      {isPaused ? `Resume · ${count(waiting)} new` : 'Pause'}
    </button>
  );
}

/** Fields of the filter, which the server applies. */
function Filters({ params }: { readonly params: Readonly<Record<string, string>> }): JSX.Element {
  const chosen = new Set(params.op?.split(',') ?? []);
  const toggle = (operation: string) => {
    const next = OPERATIONS.filter((each) => (each === operation ? !chosen.has(each) : chosen.has(each)));
    setParams({ op: next.join(',') });
  };
  return (
    <search class="filters">
      <div class="filter-fields">
        {FILTER_FIELDS.map(([name, label, placeholder]) => (
          <label class="field" key={name}>
            <span>{label}</span>
            <input
              class="input mono"
              placeholder={placeholder}
              spellcheck={false}
              value={params[name] ?? ''}
              onInput={(event) => setParams({ [name]: event.currentTarget.value })}
            />
          </label>
        ))}
      </div>
      <fieldset class="chips bare-set" aria-label="Operations">
        {OPERATIONS.map((operation) => (
          <button
            type="button"
            key={operation}
            class="chip"
            aria-pressed={chosen.has(operation)}
            onClick={() => toggle(operation)}
          >
            <Op of={operation} />
          </button>
        ))}
      </fieldset>
    </search>
  );
}

/** How many updates the list has, and how many came since the view was opened. */
function Counts({ state, feed }: FeedProps): JSX.Element {
  const { rows, counts, sampledAway, hasOlder, waiting } = state;
  const came = Object.values(counts).reduce((sum, one) => sum + one, 0);
  const operations = OPERATIONS.filter((operation) => (counts[operation] ?? 0) > 0);
  return (
    <p class="row wrap small-text soft" role="status">
      <span>
        <b class="num">{plural(rows.length, 'update')}</b> in the list
        {hasOlder && ', older ones load as you scroll'}
      </span>
      <span class="muted">·</span>
      <span>
        <b class="num">{count(came)}</b> new since you opened it
        {waiting !== undefined && waiting > 0 && ` (${count(waiting)} while paused)`}
      </span>
      {operations.map((operation) => (
        <span key={operation}>
          <Op of={operation} /> <span class="num">{count(counts[operation] ?? 0)}</span>
        </span>
      ))}
      {sampledAway > 0 && (
        <>
          <Badge tone="warn">{count(sampledAway)} sampled away</Badge>
          <button type="button" class="button small" onClick={() => void feed.resume()}>
            Load the newest from the log
          </button>
        </>
      )}
    </p>
  );
}

interface BodyProps extends FeedProps {
  readonly mode: 'list' | 'sequence';
  readonly chosen: number | undefined;
  readonly onSelect: (row: UpdateRow) => void;
}

function Body({ state, feed, mode, chosen, onSelect }: BodyProps): JSX.Element {
  const isNarrow = useNarrow();
  const { rows, loaded, error, hasOlder, prepended } = state;
  if (error !== undefined) return <Failed message={error} retry={() => void feed.begin()} />;
  if (rows.length === 0 && !loaded) return <Loading what="Loading" />;
  if (rows.length === 0) {
    return (
      <Empty title="No update matches the filter" icon="updates">
        New ones appear here as they come. In a pattern, * stands for any text.
      </Empty>
    );
  }
  const list = {
    count: rows.length,
    prepended,
    keyOf: (index: number) => rows[index]?.position ?? index,
    selected: chosen === undefined ? -1 : rows.findIndex(({ position }) => position === chosen),
    onSelect: (index: number) => rows[index] && onSelect(rows[index]),
    onSight: (_: number, last: number) => hasOlder && last >= rows.length - 20 && void feed.older(),
  };
  if (mode === 'sequence') return <Sequence rows={rows} list={list} />;
  return (
    <>
      <UpdateHead />
      <VirtualList
        {...list}
        label="Updates, newest first"
        rowHeight={isNarrow ? 54 : 32}
        row={(index) => rows[index] && <UpdateLine row={rows[index]} />}
      />
    </>
  );
}
