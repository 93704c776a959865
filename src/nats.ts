export type { ContextBufferQueueOptions } from './followers/broadcast/buffer-queue.ts';
export type { ContextUpdateEventPusherOptions } from './followers/broadcast/event-pusher.ts';
export { type NatsAddress, parseNatsAddress } from './followers/broadcast/nats-address.ts';
export { type ConnectRequest, connectNats, type NatsConnectionSettings } from './followers/broadcast/nats-connect.ts';
export { parsePublicMessage } from './followers/broadcast/parse-public-message.ts';
export type { ContextUpdateMessage, ContextUpdateProcessorOptions } from './followers/broadcast/public-message.ts';
