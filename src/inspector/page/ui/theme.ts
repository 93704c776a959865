import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';

const KEPT_AS = 'context-cache-inspector.theme';

const isTheme = (text: string | null): text is Theme => text === 'auto' || text === 'light' || text === 'dark';

function kept(): Theme {
  const text = localStorage.getItem(KEPT_AS);
  return isTheme(text) ? text : 'auto';
}

/** The chosen colours; `auto` follows the system. */
export const theme = signal<Theme>(kept());

/** Number of colour changes so far. Canvases repaint when it changes. */
export const paint = signal(0);

effect(() => {
  const { documentElement: root } = document;
  if (theme.value === 'auto') delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  localStorage.setItem(KEPT_AS, theme.value);
  paint.value = paint.peek() + 1;
});

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  paint.value += 1;
});

/** Returns the current value of a colour in the stylesheet, for a canvas. */
export function colour(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
