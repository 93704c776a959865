import type { ComponentChildren, HTMLAttributes, JSX } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';

interface VirtualListProps {
  /** What a screen reader calls the list. */
  readonly label: string;
  readonly count: number;
  /** Pixels, the same for each. */
  readonly rowHeight: number;
  readonly row: (index: number) => ComponentChildren;
  /** Tells rows apart where the list moves; default: the place in the list. */
  readonly keyOf?: (index: number) => string | number;
  /** `tree` for rows that open and close. */
  readonly role?: 'listbox' | 'tree';
  /** What else a row says of itself to a screen reader. */
  readonly rowAttributes?: (index: number) => HTMLAttributes<HTMLDivElement>;
  readonly selected?: number;
  readonly onSelect?: (index: number) => void;
  /** Keys that the list itself has no use for; `true` where they were of use. */
  readonly onKey?: (event: KeyboardEvent, index: number) => boolean;
  /** So many rows have come at the top in all: who has scrolled down goes on seeing the same rows. */
  readonly prepended?: number;
  /**
   * Called whenever the list is drawn, with the rows drawn (for fetching) and those that are visible; each span ends
   * before its second index.
   */
  readonly onSight?: (first: number, last: number, top: number, bottom: number) => void;
}

/** Rows drawn above and below those in sight, so that scrolling shows no gap. */
const SPARE = 8;

/**
 * A list of any length that draws only the rows in sight. Reached by Tab as one, walked by the arrow keys, Home, End
 * and the page keys; Enter or a click selects.
 */
export function VirtualList(props: VirtualListProps): JSX.Element {
  const { count, rowHeight, selected = -1, onSelect, role = 'listbox', onSight } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [active, setActive] = useState(Math.max(0, selected));
  useHeight(box, setHeight);
  useAnchor(box, props.prepended ?? 0, rowHeight, setTop);

  const first = Math.max(0, Math.floor(top / rowHeight) - SPARE);
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + SPARE);
  // On each drawing, so that rows that could not be fetched while others were are requested again.
  const visibleEnd = Math.min(count, Math.ceil((top + height) / rowHeight));
  useLayoutEffect(() => onSight?.(first, last, Math.floor(top / rowHeight), visibleEnd));

  const reveal = (index: number) => {
    const list = box.current;
    if (list === null) return;
    const [start, end] = [index * rowHeight, (index + 1) * rowHeight];
    if (start < list.scrollTop) list.scrollTop = start;
    else if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
  };
  const moveTo = (index: number) => {
    const next = Math.max(0, Math.min(count - 1, index));
    setActive(next);
    reveal(next);
  };
  const select = (index: number) => {
    setActive(index);
    onSelect?.(index);
  };
  const at = Math.min(active, count - 1);
  const onKeyDown = (event: KeyboardEvent) => {
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(height / rowHeight) - 1);
    const target = targetOf(event.key, at, count, page);
    if (target !== undefined) moveTo(target);
    else if (event.key === 'Enter' || event.key === ' ') select(at);
    else if (props.onKey?.(event, at) !== true) return;
    event.preventDefault();
  };

  const rows: JSX.Element[] = [];
  for (let index = first; index < last; index += 1) {
    const isSelected = index === selected;
    rows.push(
      <div
        key={props.keyOf?.(index) ?? index}
        id={`${id}-${index}`}
        class={index === at ? 'list-row active' : 'list-row'}
        data-index={index}
        style={{ top: `${index * rowHeight}px`, height: `${rowHeight}px` }}
        {...rowRole(role, index, count, isSelected)}
        {...props.rowAttributes?.(index)}
      >
        {props.row(index)}
      </div>,
    );
  }
  const attributes: HTMLAttributes<HTMLDivElement> = {
    role,
    tabIndex: 0,
    'aria-label': props.label,
    // The list has the focus and names its active row, so that the rows need none.
    'aria-activedescendant': at >= first && at < last ? `${id}-${at}` : undefined,
    onScroll: (event) => setTop(event.currentTarget.scrollTop),
    onKeyDown,
    onClick: (event) => {
      const index = indexOf(event.target);
      if (index !== undefined) select(index);
    },
  };
  return (
    <div ref={box} class="list" {...attributes}>
      <div class="list-space" role="presentation" style={{ height: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}

type Role = NonNullable<VirtualListProps['role']>;

function rowRole(role: Role, index: number, count: number, isSelected: boolean): HTMLAttributes<HTMLDivElement> {
  const place = { 'aria-setsize': count, 'aria-posinset': index + 1, 'aria-selected': isSelected };
  return { role: role === 'tree' ? 'treeitem' : 'option', ...place };
}

/** Which row was clicked. */
function indexOf(target: EventTarget | null): number | undefined {
  const row = target instanceof Element ? target.closest<HTMLElement>('[data-index]') : null;
  return row === null ? undefined : Number(row.dataset.index);
}

function targetOf(key: string, at: number, count: number, page: number): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return at + 1;
    case 'ArrowUp':
      return at - 1;
    case 'PageDown':
      return at + page;
    case 'PageUp':
      return at - page;
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return undefined;
  }
}

function useHeight(box: { readonly current: HTMLDivElement | null }, setHeight: (height: number) => void): void {
  useLayoutEffect(() => {
    const list = box.current;
    if (list === null) return;
    const observer = new ResizeObserver(() => setHeight(list.clientHeight));
    observer.observe(list);
    return () => observer.disconnect();
  }, []);
}

/** Whoever looks at older rows keeps seeing them while new ones come at the top. */
function useAnchor(
  box: { readonly current: HTMLDivElement | null },
  prepended: number,
  rowHeight: number,
  setTop: (top: number) => void,
): void {
  const before = useRef(prepended);
  useLayoutEffect(() => {
    const list = box.current;
    const added = prepended - before.current;
    before.current = prepended;
    if (list === null || added <= 0 || list.scrollTop === 0) return;
    list.scrollTop += added * rowHeight;
    setTop(list.scrollTop);
  }, [prepended]);
}
