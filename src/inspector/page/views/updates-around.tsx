import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { get } from '../api.ts';
import { useLoaded } from '../load.ts';
import { setParams } from '../router.ts';
import { Card, Failed, Loading } from '../ui/parts.tsx';
import { UpdateLine } from './update-line.tsx';

/** So many before and after the moment. */
const AROUND = 12;

/** The updates before and after a moment, the newest on top; a click goes there. */
export function UpdatesAround({ at }: { readonly at: number }): JSX.Element {
  const { value, error, reload } = useLoaded(
    (signal) => get('GET /api/updates', { around: at, limit: AROUND }, signal),
    ['around'],
    at,
  );
  const list = useRef<HTMLOListElement>(null);
  useLayoutEffect(() => centre(list.current), [value, at]);
  return (
    <Card title="Updates around this moment" fill flush>
      {value === undefined && (error ? <Failed message={error.message} retry={reload} /> : <Loading what="Asking" />)}
      {value && (
        <ol ref={list} class="around with-detail">
          {value.items.map((row) => (
            <li key={row.position} class={row.position > at ? 'is-later' : ''}>
              <button
                type="button"
                class="around-row"
                aria-current={row.position === at ? 'step' : undefined}
                onClick={() => setParams({ at: row.position })}
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

/** Scrolls the list, and nothing around it, so that the moment is in its middle. */
function centre(list: HTMLOListElement | null): void {
  const row = list?.querySelector<HTMLElement>('[aria-current]');
  if (list == null || row == null) return;
  list.scrollTop += row.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 2 + 16;
}
