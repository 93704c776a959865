import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Admission } from '../core/admission.ts';
import type { Clock } from '../core/clock.ts';
import type { ContextCommand } from '../core/command.ts';
import type { Report } from '../core/report.ts';
import type { Request } from '../core/request.ts';
import type { RestartPolicy } from '../core/restart-policy.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { NamespaceDeps } from './executor.ts';

/** Dependencies of the supervisor. */
export interface SupervisorDeps {
  readonly clock: Clock;
  /** The time that commands are stamped with. */
  readonly door: Pick<Clock, 'now'>;
  readonly log: UpdateLog;
  readonly admission: Admission;
  readonly registry: NamespaceRegistry;
  readonly primary?: BaseContextCache | undefined;
  readonly restartPolicy: RestartPolicy;
  /** Largest number of commands that wait for a restart or for an asynchronous primary, per namespace. */
  readonly maxWaiting: number;
  readonly report: Report;
  /** Executes commands that do not concern one namespace. */
  readonly control: (command: ContextCommand) => Promise<unknown>;
  /**
   * Orders data commands among the nodes of a cluster. Those that are dispatched have been ordered, and nothing expires by
   * itself. Default: commands are executed in the order in which they arrive.
   */
  readonly sequence?: { send(request: Request): void } | undefined;
  /** Counts a command without an answer. Returns the function to call at its end. */
  readonly sent?: ((request: Request) => (error: Error | undefined) => void) | undefined;
  /** See {@link NamespaceDeps}. */
  readonly apply?: NamespaceDeps['apply'];
  readonly lane?: boolean | undefined;
  readonly entryExpired?: NamespaceDeps['entryExpired'];
}
