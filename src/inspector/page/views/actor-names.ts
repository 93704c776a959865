import type { Actor } from '../../protocol.ts';
import type { Tone } from '../ui/parts.tsx';

/** Returns the name in an id such as `namespace:trip`. */
export const nameOf = (id: string): string => id.slice(id.indexOf(':') + 1);

export const STATUS_TONE: Readonly<Record<Actor['status'], Tone>> = {
  resident: 'ok',
  passivated: undefined,
  restarting: 'warn',
  failed: 'bad',
};
