import type { ComponentChildren, HTMLAttributes, JSX } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';

interface VirtualListProps {
  /** Name of the list for screen readers. */
  readonly label: string;
  readonly count: number;
  /** Pixels, the same for each. */
  readonly rowHeight: number;
  readonly row: (index: number) => ComponentChildren;
  /** Identifies a row while the list moves. Default: its index. */
  readonly keyOf?: (index: number) => string | number;
  /** `tree` for rows that open and close. */
  readonly role?: 'listbox' | 'tree';
  /** Further attributes of a row, for screen readers. */
  readonly rowAttributes?: (index: number) => HTMLAttributes<HTMLDivElement>;
  readonly selected?: number;
  readonly onSelect?: (index: number) => void;
  /** Called with keys that the list does not use. Returns `true` if it used one. */
  readonly onKey?: (event: KeyboardEvent, index: number) => boolean;
  /** Rows added at the top so far. A reader who has scrolled down keeps seeing the same rows. */
  readonly prepended?: number;
  /**
   * Called whenever the list is drawn, with the rows drawn (for fetching) and those that are visible; each span ends
   * before its second index.
   */
  readonly onSight?: (first: number, last: number, top: number, bottom: number) => void;
}

/** Rows drawn above and below the visible ones, so that scrolling shows no gap. */
const SPARE = 8;

/**
 * A list of any length that draws only the visible rows. It is one stop for Tab; arrow keys, Home, End and the page keys
 * move in it; Enter or a click selects.
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
    // The list has the focus and names its active row, so the rows need no focus.
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

/** Returns the index of the clicked row. */
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

/** Keeps the visible rows in place while new ones are added at the top. */
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
