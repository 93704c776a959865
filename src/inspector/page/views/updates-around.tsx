import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { UpdateFilter, UpdateRow } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count } from '../format.ts';
import { useLoaded } from '../load.ts';
import { setParams } from '../router.ts';
import { Badge, Card, Empty, Failed, Loading } from '../ui/parts.tsx';
import { isFiltered } from './time-filter.tsx';
import { UpdateLine } from './update-line.tsx';

/** Updates shown, half of them before the position. */
const AROUND = 24;

interface AroundProps {
  readonly at: number;
  readonly filter: UpdateFilter;
}

/** The updates around a position, newest on top. A click goes to one, and opens its key below. */
export function UpdatesAround({ at, filter }: AroundProps): JSX.Element {
  const { value, error, reload } = useLoaded(
    (signal) => get('GET /api/updates', { ...filter, around: at, limit: AROUND }, signal),
    ['around', filter],
    at,
  );
  const list = useRef<HTMLOListElement>(null);
  useLayoutEffect(() => centre(list.current), [value, at]);
  const select = ({ position, namespace, key }: UpdateRow) =>
    setParams({ at: position, ns: namespace, key: key ?? undefined });
  return (
    <Card
      title={`Updates around position ${count(at)}`}
      side={isFiltered(filter) && <Badge tone="accent">filtered</Badge>}
      fill
      flush
    >
      {value === undefined && (error ? <Failed message={error.message} retry={reload} /> : <Loading what="Loading" />)}
      {value?.items.length === 0 && <Empty title="No update here matches the filter" icon="search" />}
      {value && value.items.length > 0 && (
        <ol ref={list} class="around with-detail">
          {value.items.map((row) => (
            <li key={row.position} class={row.position > at ? 'is-later' : ''}>
              <button
                type="button"
                class="around-row"
                aria-current={row.position === at ? 'step' : undefined}
                data-position={row.position}
                title="Go there and open its key below"
                onClick={() => select(row)}
              >
                <UpdateLine row={row} />
              </button>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

/** Scrolls the list, and nothing around it, so that the position is in its middle. */
function centre(list: HTMLOListElement | null): void {
  const row =
    list?.querySelector<HTMLElement>('[aria-current]') ??
    list?.querySelector<HTMLElement>('li:not(.is-later) > button');
  if (list == null || row == null) return;
  list.scrollTop += row.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 2 + 16;
}
