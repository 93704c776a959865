import type { Request } from './request.ts';

/** Judges whether the agent of a write may make it. */
export interface WriteRights {
  /** `false` if every agent may write everything. */
  readonly isOn: boolean;
  /** @throws {AccessDeniedError} unless the agent may make this write. */
  check(request: Request): void;
}
