export {
  type CreateJetStreamOptions as CreateClusterOptions,
  createJetStream as createCluster,
  type JetStreamOptions as ClusterStreamOptions,
} from './cluster/jetstream/open-jetstream.ts';
export { type ClusterServer, type ClusterStatus, clusterStatus } from './cluster/jetstream/stream-status.ts';
export {
  type Refounded as RefoundedCluster,
  type RefoundOptions as RefoundClusterOptions,
  refoundCluster,
} from './cluster/open/refound.ts';
