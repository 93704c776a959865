import type { Clock } from '../core/clock.ts';
import type { Report } from '../core/report.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Outcomes } from '../engine/outcome.ts';
import type { Asking } from './asking.ts';
import type { Link } from './link.ts';
import type { RemoteReader } from './remote-reader.ts';
import type { RemoteWriter } from './remote-writer.ts';

/** The parts of a client. */
export interface RemoteParts {
  readonly link: Link;
  readonly clock: Clock;
  readonly reader: RemoteReader;
  readonly writer: RemoteWriter;
  readonly report: Report;
  readonly outcomes: Outcomes;
  /** Ends what belongs to the client besides its connection, within so many milliseconds. */
  readonly release?: ((timeoutMs: number) => Promise<void>) | undefined;
  /** Returns what the running code adds to each write; `undefined` without a context. */
  readonly stamp?: (() => Stamp | undefined) | undefined;
}

/** The parts over which a client or one of its handles reads, writes and watches. */
export type ActingParts = Omit<RemoteParts, 'link'> & { readonly link: Asking };
