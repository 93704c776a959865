import { signal } from '@preact/signals';

/** The views, in the order of the navigation. */
export const VIEWS = ['overview', 'actors', 'updates', 'data', 'time', 'health'] as const;
export type ViewName = (typeof VIEWS)[number];

/** What the address bar says: `#/time?at=1200`. */
export interface Route {
  readonly view: ViewName;
  readonly params: Readonly<Record<string, string>>;
}

/** Reads what stands behind the `#`; anything unknown is the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const view = VIEWS.find((name) => name === path) ?? 'overview';
  return { view, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a place in the page. What is `undefined` or empty is left out. */
export function hrefOf(view: ViewName, params: Readonly<Record<string, string | number | undefined>> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? `#/${view}` : `#/${view}?${text}`;
}

/** Where the page is. */
export const route = signal<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash);
});

/** Goes to a place, as a link to {@link hrefOf} would. */
export function go(view: ViewName, params: Readonly<Record<string, string | number | undefined>> = {}): void {
  location.hash = hrefOf(view, params);
}

/** Changes some of the present view's parameters, without a step in the browser's history. `undefined` removes one. */
export function setParams(changes: Readonly<Record<string, string | number | undefined>>): void {
  const { view, params } = route.peek();
  const address = hrefOf(view, { ...params, ...changes });
  if (address === location.hash) return;
  history.replaceState(null, '', address);
  route.value = parseRoute(address);
}
