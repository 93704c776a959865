import type { Link } from './link.ts';

/** What readers, writers and watches use of a {@link Link}: the link itself, or one that names an agent with each request. */
export type Asking = Pick<Link, 'ask' | 'stream' | 'hello' | 'position' | 'saw' | 'status' | 'now' | 'lostSince'>;
