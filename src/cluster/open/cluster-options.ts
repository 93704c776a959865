import type { Duration } from '../../core/command.ts';

/** The cluster that a cache is a node of. */
export interface ClusterOptions {
  /** Addresses of the NATS servers, such as `nats://10.0.0.1:4222`. */
  readonly servers: string | readonly string[];
  /** Name of the cluster, 1 to 32 letters, digits, `-` and `_`. Nodes of the same name share one memory. */
  readonly name: string;
  /** Name of this node in health and reports. Default: a random one. */
  readonly node?: string | undefined;
  /** Duration after which a write that has no outcome is given up. Default 30,000 ms. */
  readonly writeTimeoutMs?: Duration | undefined;
  /** Largest number of writes of this node that wait for their outcome. Default 100,000. */
  readonly maxQueued?: number | undefined;
}
