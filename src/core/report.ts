/** Where a failure came from. */
export interface FailureSource {
  /** `command`, `namespace`, a follower's name, `log`, `watch` … */
  readonly source: string;
  readonly namespace?: string;
  readonly command?: string;
}

/** Told of every failure that nobody else may be waiting for. */
export type Report = (error: Error, source: FailureSource) => void;
