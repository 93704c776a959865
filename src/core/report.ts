/** Origin of a failure. */
export interface FailureSource {
  /** `command`, `namespace`, a follower's name, `log`, `watch` … */
  readonly source: string;
  readonly namespace?: string;
  readonly command?: string;
}

/** Takes every failure that no caller handles. */
export type Report = (error: Error, source: FailureSource) => void;
