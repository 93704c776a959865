export type { MetricFamily, MetricSample } from './engine/metrics.ts';
export type { ActivityHealth, OperationActivity } from './monitoring/activity.ts';
export {
  CHANNELS,
  type ChannelMessages,
  type ClientCommandFields,
  type ClientConnectFields,
  type CommandFields,
  type CommitFields,
  type ConnectFields,
  type DeliveryFields,
  type TraceParent,
} from './monitoring/channels.ts';
export type { Latency } from './monitoring/histogram.ts';
export type { LogFields, Logger, MonitoringOptions } from './monitoring/reporter.ts';
export type { Message, Outcome } from './monitoring/trace.ts';
