import { signal } from '@preact/signals';

const media = matchMedia('(max-width: 760px)');
const narrow = signal(media.matches);

media.addEventListener('change', () => {
  narrow.value = media.matches;
});

/** Whether the page is as wide as a telephone; the same width as in the stylesheets. */
export const useNarrow = (): boolean => narrow.value;
