import { ContextCacheError } from '../../core/errors.ts';

/** Names of a cluster's stream, its subjects, and the subjects of JetStream's interface that a node uses. */
export interface StreamNames {
  /** Name of the cluster. */
  readonly cluster: string;
  readonly stream: string;
  /** Stream that is created and deleted to see whether the servers can hold one. No cluster's stream has this name. */
  readonly trial: string;
  readonly trialSubject: string;
  /** Subject that commands are published to. */
  readonly commands: string;
  /** Subject that the stream's leader repeats every stored message on. */
  readonly repeated: string;
  readonly info: string;
  readonly get: string;
  readonly purge: string;
}

/** The only partition of a cluster in this version. Streams and subjects carry its number, so that there can be more. */
const PARTITION = 0;

/**
 * Returns the names for a cluster.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function streamNames(cluster: string): StreamNames {
  if (typeof cluster !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(cluster)) {
    const shown = JSON.stringify(String(cluster).slice(0, 80));
    const message = `The name of a cluster has 1 to 64 letters, digits, "-" and "_", unlike ${shown}.`;
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const stream = `ACC_${cluster}_${PARTITION}`;
  return {
    cluster,
    stream,
    trial: `ACC_${cluster}_trial`,
    trialSubject: `acc.${cluster}.trial`,
    commands: `acc.${cluster}.c.${PARTITION}`,
    repeated: `acc.${cluster}.r.${PARTITION}`,
    info: `$JS.API.STREAM.INFO.${stream}`,
    get: `$JS.API.DIRECT.GET.${stream}`,
    purge: `$JS.API.STREAM.PURGE.${stream}`,
  };
}
