import { warningsOf } from '../commands/cluster.ts';
import type { ClusterAddress } from '../config/cluster-options.ts';
import { describe } from '../terminal/failure.ts';
import { type Finding, unreachable } from './finding.ts';

/** Codes of errors after which the servers may be fine, and do not answer. */
const SILENT: ReadonlySet<string> = new Set(['UNREACHABLE', 'TIMED_OUT', 'LOG_UNAVAILABLE']);

/** Checks that the stream of a cluster can be used, and what an operator should look at. */
export async function checkCluster(address: ClusterAddress): Promise<Finding[]> {
  const { clusterStatus } = await import('../../cluster.ts');
  try {
    const status = await clusterStatus({ ...address, clientName: 'context-cache doctor' });
    const { stream, serverVersion, replicas } = status;
    const message = `${stream} on nats-server ${serverVersion}, replicas: ${replicas}`;
    const warnings = warningsOf(status).map(
      (warning) => ({ check: 'cluster', status: 'warning', message: warning }) as const,
    );
    return [{ check: 'cluster', status: 'ok', message }, ...warnings];
  } catch (error) {
    const { code, message } = describe(error);
    if (SILENT.has(code)) return [unreachable('cluster', error, address.name, { url: '', named: true })];
    return [{ check: 'cluster', status: 'problem', message }];
  }
}
