import { signal } from '@preact/signals';

/** The views, in the order of the navigation. */
export const VIEWS = ['overview', 'actors', 'updates', 'data', 'time', 'health'] as const;
export type ViewName = (typeof VIEWS)[number];

/** The view and parameters in the address, such as `#/time?at=1200`. */
export interface Route {
  readonly view: ViewName;
  readonly params: Readonly<Record<string, string>>;
}

/** Reads the part of the address after `#`. An unknown view becomes the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const view = VIEWS.find((name) => name === path) ?? 'overview';
  return { view, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** Views whose parameter `key` is a key, which may be empty. In others it is a pattern. */
const OF_A_KEY: ReadonlySet<ViewName> = new Set<ViewName>(['data', 'time']);

/** Returns the address of a view. Leaves out parameters that are `undefined`, and empty ones unless they are a key. */
export function hrefOf(view: ViewName, params: Readonly<Record<string, string | number | undefined>> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    const isKey = name === 'key' && OF_A_KEY.has(view);
    if (value !== undefined && (value !== '' || isKey)) query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? `#/${view}` : `#/${view}?${text}`;
}

/** The current view and its parameters. */
export const route = signal<Route>(parseRoute(location.hash));

addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash);
});

/** Opens a view, as a link to {@link hrefOf} does. */
export function go(view: ViewName, params: Readonly<Record<string, string | number | undefined>> = {}): void {
  location.hash = hrefOf(view, params);
}

/** Changes parameters of the current view without a step in the browser's history. `undefined` removes one. */
export function setParams(changes: Readonly<Record<string, string | number | undefined>>): void {
  const { view, params } = route.peek();
  const address = hrefOf(view, { ...params, ...changes });
  if (address === location.hash) return;
  history.replaceState(null, '', address);
  route.value = parseRoute(address);
}
