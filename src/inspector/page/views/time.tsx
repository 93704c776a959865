import type { JSX } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import type { UpdateFilter, ViewDetail } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, dateTime } from '../format.ts';
import { meta } from '../live.ts';
import { useLoaded } from '../load.ts';
import { route, setParams } from '../router.ts';
import { useSettled } from '../ui/hooks.ts';
import { Badge, Empty, Failed, Loading } from '../ui/parts.tsx';
import { Comparison } from './comparison.tsx';
import { DataTree } from './data-tree.tsx';
import { EntryCard } from './entry.tsx';
import { ForkButton } from './fork.tsx';
import { ShareButton } from './share.tsx';
import { TimeControls } from './time-controls.tsx';
import { timeFilterOf } from './time-filter.tsx';
import { UpdateDetailCard } from './update-detail.tsx';
import { UpdatesAround } from './updates-around.tsx';

/** Returns the position in a parameter of the address; `undefined` if it is missing or not a number. */
const positionOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

export function TimeView(): JSX.Element {
  const { params } = route.value;
  const wanted = positionOf(params.at);
  const { value: range, error, reload } = useLoaded((signal) => get('GET /api/view', { at: 0 }, signal), ['range']);
  const at = range === undefined ? wanted : clamp(wanted ?? range.last, range);
  // The slider moves at once; the data follows when it rests.
  const shown = useSettled(at, 120);
  useEffect(() => {
    // Effects run after the frame, so the slider may have moved since.
    const isStillWanted = positionOf(route.peek().params.at) === wanted;
    if (at !== undefined && at !== wanted && isStillWanted) setParams({ at });
  }, [at, wanted]);
  if (range === undefined || at === undefined) {
    return (
      <div class="view">
        <header class="view-head">
          <h1>Time travel</h1>
        </header>
        {error ? <Failed message={error.message} retry={reload} /> : <Loading what="Loading" />}
      </div>
    );
  }
  return (
    <div class="view time-view">
      <header class="view-head">
        <h1>Time travel</h1>
        {meta.value?.branchOf != null && <Badge tone="accent">branch</Badge>}
        <ShareButton />
        <ForkButton at={at} />
      </header>
      {range.last === 0 ? (
        <Empty title="The log is empty" icon="time">
          The past starts with the first update.
        </Empty>
      ) : (
        <Travel range={range} at={at} shown={shown ?? at} other={positionOf(params.b)} onGrow={reload} />
      )}
    </div>
  );
}

const clamp = (position: number, { first, last }: ViewDetail): number => Math.max(first, Math.min(last, position));

interface TravelProps {
  readonly range: ViewDetail;
  /** Position of the slider, and of the data shown. */
  readonly at: number;
  readonly shown: number;
  /** The position compared with. */
  readonly other: number | undefined;
  readonly onGrow: () => void;
}

function Travel({ range, at, shown, other, onGrow }: TravelProps): JSX.Element {
  const settled = useSettled(JSON.stringify(timeFilterOf(route.value.params)), 250);
  const filter = useMemo(() => JSON.parse(settled) as UpdateFilter, [settled]);
  return (
    <>
      <TimeControls range={range} at={at} other={other} onMove={(to) => setParams({ at: to })} onGrow={onGrow} />
      {other === undefined ? (
        <PastView at={shown} filter={filter} />
      ) : (
        <Comparison a={shown} b={other} filter={filter} />
      )}
    </>
  );
}

/** The updates around a position, and the view of the data there. */
function PastView({ at, filter }: { readonly at: number; readonly filter: UpdateFilter }): JSX.Element {
  const { ns: namespace, key } = route.value.params;
  return (
    <>
      <div class="time-updates">
        <UpdatesAround at={at} filter={filter} />
        {at > 0 && <UpdateDetailCard position={at} />}
      </div>
      <h2 class="section-title">
        Data at position {count(at)} <PositionTime at={at} />
      </h2>
      <div class="split time-data">
        <DataTree
          at={at}
          namespace={namespace}
          entryKey={key}
          onSelect={(chosen, chosenKey) => setParams({ ns: chosen, key: chosenKey })}
        />
        {namespace !== undefined && key !== undefined ? (
          <div class="stack scroll">
            <EntryCard namespace={namespace} entryKey={key} at={at} />
          </div>
        ) : (
          <section class="card">
            <Empty title="Choose a key" icon="data">
              Select an update above or a key on the left: its value at this position is shown here.
            </Empty>
          </section>
        )}
      </div>
    </>
  );
}

function PositionTime({ at }: { readonly at: number }): JSX.Element | null {
  const { value } = useLoaded((signal) => get('GET /api/view', { at }, signal), ['view', at]);
  return value?.at == null ? null : <span class="muted">· {dateTime(value.at)}</span>;
}
