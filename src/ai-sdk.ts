export {
  type ContextCacheChats,
  type ContextCacheChatsOptions,
  contextCacheChats,
} from './integrations/ai-sdk-chats.ts';
export {
  type ContextCacheMiddlewareOptions,
  contextCacheMiddleware,
  type ModelCall,
} from './integrations/ai-sdk-middleware.ts';
export {
  type ResumableStreams,
  type ResumableStreamsOptions,
  resumableStreams,
} from './integrations/ai-sdk-streams.ts';
