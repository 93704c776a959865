import type { Request } from './request.ts';

/** Origin of a failure. */
export interface FailureSource {
  /** `command`, `namespace`, a follower's name, `log`, `watch` … */
  readonly source: string;
  readonly namespace?: string;
  readonly command?: string;
}

/** Takes every failure that no caller handles. */
export type Report = (error: Error, source: FailureSource) => void;

/** Returns the source of a failure of a command. */
export function sourceOf({ type, namespace }: Pick<Request, 'type' | 'namespace'>): FailureSource {
  return { source: 'command', command: type, namespace };
}
