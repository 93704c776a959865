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
import { UpdateLine } from './update-line.tsx';

export function UpdatesView(): JSX.Element {
  const { params } = route.value;
  const wanted = filterOf(params);
  const key = useSettled(JSON.stringify(wanted), 250);
  // Positions mean something else in another log.
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
          label="How they are shown"
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
      {isPaused ? `Go on · ${count(waiting)} came` : 'Pause'}
    </button>
  );
}

/** The server applies them, so that what does not pass costs nothing here. */
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

function Counts({ state: { counts, sampledAway }, feed }: FeedProps): JSX.Element {
  const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
  const there = OPERATIONS.filter((operation) => (counts[operation] ?? 0) > 0);
  return (
    <p class="row wrap small-text soft" role="status">
      <span>
        <b class="num">{plural(all, 'update')}</b> since you look
      </span>
      {there.map((operation) => (
        <span key={operation}>
          <Op of={operation} /> <span class="num">{count(counts[operation] ?? 0)}</span>
        </span>
      ))}
      {sampledAway > 0 && (
        <>
          <Badge tone="warn">{count(sampledAway)} sampled away</Badge>
          <button type="button" class="button small" onClick={() => void feed.resume()}>
            Fetch the newest from the log
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
  if (rows.length === 0 && !loaded) return <Loading what="Asking" />;
  if (rows.length === 0) {
    return (
      <Empty title="No update has passed the filter" icon="updates">
        New ones appear here by themselves. In a filter, * stands for any text.
      </Empty>
    );
  }
  if (mode === 'sequence') return <Sequence rows={rows} chosen={chosen} onSelect={onSelect} />;
  return (
    <VirtualList
      label="Updates, newest first"
      count={rows.length}
      rowHeight={isNarrow ? 54 : 32}
      prepended={prepended}
      keyOf={(index) => rows[index]?.position ?? index}
      selected={chosen === undefined ? -1 : rows.findIndex(({ position }) => position === chosen)}
      onSelect={(index) => rows[index] && onSelect(rows[index])}
      onSight={(_, last) => hasOlder && last >= rows.length - 20 && void feed.older()}
      row={(index) => rows[index] && <UpdateLine row={rows[index]} />}
    />
  );
}
